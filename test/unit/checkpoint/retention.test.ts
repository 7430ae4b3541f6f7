import fc from 'fast-check'
import {expect, test} from 'vitest'
import {expired, retained, type RetainedCheckpoint} from '../../../src/checkpoint/retention.ts'
import {checkpointSchema} from '../../../src/api/resources.ts'

const DAY_MS = 86_400_000
const NOW_MS = Date.parse('2026-11-21T12:00:00Z')

function aged(days: number, more: Partial<RetainedCheckpoint> = {}): RetainedCheckpoint {
  return {
    group: 'web',
    createdAtMs: NOW_MS - days * DAY_MS,
    startedAtMs: NOW_MS - days * DAY_MS,
    name: 'web-1',
    phase: 'ready',
    storedBytes: 100,
    podGone: false,
    inUse: false,
    ...more,
  }
}

test('without a rule nothing expires', () => {
  expect(expired([aged(400), aged(1, {phase: 'failed'})], {}, NOW_MS)).toEqual([])
})

test('the newest of each group are kept, and as many failed ones', () => {
  const checkpoints = [aged(1), aged(2), aged(3), aged(1, {group: 'db'}), aged(1, {phase: 'failed'})]
  const older = aged(4, {phase: 'failed'})
  expect(expired([older, ...checkpoints], {keepLast: 1}, NOW_MS)).toEqual([aged(2), aged(3), older])
})

test('of two made in one second the one that began later is kept, or else the one with the higher number', () => {
  const early = aged(1, {startedAtMs: NOW_MS - DAY_MS + 10, name: 'b'})
  const late = aged(1, {startedAtMs: NOW_MS - DAY_MS + 20, name: 'a'})
  expect(expired([early, late], {keepLast: 1}, NOW_MS)).toEqual([early])
  expect(expired([late, early], {keepLast: 1}, NOW_MS)).toEqual([early])
  const numbered = ['web-17', 'web-17-2', 'web-17-10'].map((name) => aged(1, {name}))
  expect(expired(numbered, {keepLast: 1}, NOW_MS)).toEqual([numbered[1], numbered[0]])
})

test('what is older than the age goes, the last of a pod that is gone too', () => {
  const last = aged(8, {podGone: true})
  expect(expired([last, aged(6)], {maxAgeSeconds: 604_800}, NOW_MS)).toEqual([last])
})

test('the oldest go until the rest fits, but not the last of a pod that is gone', () => {
  const last = aged(9, {group: 'gone', podGone: true})
  const checkpoints = [last, aged(1), aged(2), aged(3)]
  expect(expired(checkpoints, {maxBytes: 250}, NOW_MS)).toEqual([aged(2), aged(3)])
  expect(expired(checkpoints, {maxBytes: 1}, NOW_MS)).toEqual([aged(1), aged(2), aged(3)])
})

test('one that is in use or unfinished stays, whatever its age', () => {
  const checkpoints = [aged(9, {inUse: true}), aged(9, {phase: 'unfinished'})]
  expect(expired(checkpoints, {keepLast: 1, maxAgeSeconds: 86_400, maxBytes: 1}, NOW_MS)).toEqual([])
})

test('an object of the cluster is looked at by pod, containers and owner; it is in use while it holds its pod', () => {
  const object = checkpointSchema.parse({
    metadata: {name: 'web-1', creationTimestamp: '2026-11-20T12:00:00Z'},
    spec: {podRef: {name: 'web'}, containers: ['b', 'a'], owner: 'policy/nightly'},
    status: {phase: 'Ready', podUID: 'u1', storedBytes: 7},
  })
  expect(retained(object, {podUids: new Set(['u1']), inUse: false})).toMatchObject({
    group: 'policy/nightly pod web a b',
    createdAtMs: NOW_MS - DAY_MS,
    phase: 'ready',
    storedBytes: 7,
    podGone: false,
    inUse: false,
  })
  const frozen = {...object, status: {...object.status, phase: 'Dumping' as const, frozen: true}}
  expect(retained(frozen, {podUids: new Set(), inUse: false})).toMatchObject({
    phase: 'unfinished',
    podGone: true,
    inUse: true,
  })
})

const checkpointArbitrary: fc.Arbitrary<RetainedCheckpoint> = fc.record({
  group: fc.constantFrom('a', 'b', 'c'),
  createdAtMs: fc.integer({min: NOW_MS - 30 * DAY_MS, max: NOW_MS}),
  startedAtMs: fc.integer({min: NOW_MS - 30 * DAY_MS, max: NOW_MS}),
  name: fc.constantFrom('one', 'two'),
  phase: fc.constantFrom('unfinished', 'ready', 'failed'),
  storedBytes: fc.integer({min: 0, max: 1000}),
  podGone: fc.boolean(),
  inUse: fc.boolean(),
})
const retentionArbitrary = fc.record(
  {
    keepLast: fc.integer({min: 1, max: 4}),
    maxAgeSeconds: fc.constantFrom(3600, 86_400, 864_000),
    maxBytes: fc.integer({min: 1, max: 3000}),
  },
  {requiredKeys: []},
)
const both = [fc.array(checkpointArbitrary, {maxLength: 12}), retentionArbitrary] as const

test('property: nothing that is unfinished or in use expires, and running again expires nothing more', () => {
  fc.assert(
    fc.property(...both, (checkpoints, retention) => {
      const gone = new Set(expired(checkpoints, retention, NOW_MS))
      for (const {phase, inUse} of gone) expect(inUse || phase === 'unfinished').toBe(false)
      const left = checkpoints.filter((checkpoint) => !gone.has(checkpoint))
      expect(expired(left, retention, NOW_MS)).toEqual([])
    }),
  )
})

test('property: without an age, each group keeps a ready checkpoint when its pod is gone', () => {
  fc.assert(
    fc.property(...both, (all, {maxAgeSeconds: _, ...retention}) => {
      const checkpoints = all.map((checkpoint) => ({...checkpoint, podGone: true}))
      const gone = new Set(expired(checkpoints, retention, NOW_MS))
      const ready = checkpoints.filter(({phase}) => phase === 'ready')
      const kept = ready.filter((checkpoint) => !gone.has(checkpoint))
      expect(new Set(kept.map(({group}) => group))).toEqual(new Set(ready.map(({group}) => group)))
    }),
  )
})

test('property: what expires by number or bytes is never newer than one of its group that stays, unless that is in use', () => {
  fc.assert(
    fc.property(...both, (checkpoints, retention) => {
      const gone = expired(checkpoints, retention, NOW_MS)
      const stays = checkpoints.filter((checkpoint) => !gone.includes(checkpoint) && !checkpoint.inUse)
      for (const {group, phase, createdAtMs, podGone} of gone) {
        const older = stays.filter(
          (one) => one.group === group && one.phase === phase && one.createdAtMs < createdAtMs,
        )
        // One whose pod is gone, being the newest of its group, is not older than any.
        expect(older, `${group} ${podGone}`).toEqual([])
      }
    }),
  )
})
