import {setImmediate as turn} from 'node:timers/promises'
import fc from 'fast-check'
import {expect, test} from 'vitest'
import {allNeedsOf} from '../../../../src/platform/graph/graph.ts'
import {runGraph} from '../../../../src/platform/graph/run-graph.ts'
import {randomNeeds} from '../../../support/random-needs.ts'
import {runsOf} from '../../../support/property-runs.ts'

const {signal} = new AbortController()

test('each service begins when all that it needs is done, and a failure skips only what needs it', async () => {
  const runs = fc.tuple(randomNeeds(60), fc.array(fc.nat(), {maxLength: 5}), fc.integer({min: 1, max: 8}))
  await fc.assert(
    fc.asyncProperty(runs, async ([needs, picks, concurrency]) => {
      const names = [...needs.keys()]
      const bad = new Set(picks.map((pick) => names[pick % names.length] ?? ''))
      const done = new Set<string>()
      const tooEarly: string[] = []
      let running = 0
      let most = 0
      const outcomes = await runGraph(
        needs,
        async (name) => {
          running += 1
          most = Math.max(most, running)
          if (!(needs.get(name) ?? []).every((need) => done.has(need))) tooEarly.push(name)
          await turn()
          running -= 1
          if (bad.has(name)) throw new Error(name)
          done.add(name)
          return name.toUpperCase()
        },
        {concurrency, signal},
      )
      expect(tooEarly).toEqual([])
      expect(most).toBeLessThanOrEqual(concurrency)
      expect(outcomes.size).toBe(needs.size)
      for (const name of names) {
        const stops = [...allNeedsOf(name, needs)].some((need) => bad.has(need))
        const wanted = stops ? 'skipped' : bad.has(name) ? 'failed' : 'done'
        expect(outcomes.get(name)?.kind, name).toBe(wanted)
      }
    }),
    {numRuns: runsOf(60)},
  )
})

test('services that need nothing of each other run at the same time', async () => {
  const needs = new Map(['a', 'b', 'c'].map((name) => [name, [] as string[]]))
  let waiting = 0
  const all = Promise.withResolvers<undefined>()
  const outcomes = await runGraph(
    needs,
    async () => {
      waiting += 1
      if (waiting === 3) all.resolve(undefined)
      await all.promise
    },
    {concurrency: 3, signal},
  )
  expect([...outcomes.values()].map(({kind}) => kind)).toEqual(['done', 'done', 'done'])
})

test('after an abort nothing further begins', async () => {
  const controller = new AbortController()
  const needs = new Map([
    ['a', []],
    ['b', ['a']],
    ['c', ['b']],
  ] as const)
  const begun: string[] = []
  const outcomes = await runGraph(
    needs,
    async (name) => {
      begun.push(name)
      await turn()
      if (name === 'a') controller.abort(new Error('stop'))
    },
    {concurrency: 4, signal: controller.signal},
  )
  expect(begun).toEqual(['a'])
  expect(outcomes.get('b')).toMatchObject({kind: 'failed', error: {message: 'stop'}})
  expect(outcomes.get('c')?.kind).toBe('skipped')
})
