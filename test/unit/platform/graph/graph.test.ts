import fc from 'fast-check'
import {expect, test} from 'vitest'
import {allNeedsOf, cycleIn, missingNeeds, reversed, stagesOf} from '../../../../src/platform/graph/graph.ts'
import {randomNeeds} from '../../../support/random-needs.ts'
import {runsOf} from '../../../support/property-runs.ts'

const SERVICES = 60

test('every service of a random graph stands in a stage after all that it needs', () => {
  fc.assert(
    fc.property(randomNeeds(SERVICES), (needs) => {
      const stages = stagesOf(needs)
      const stageOf = new Map(stages.flatMap((names, index) => names.map((name) => [name, index] as const)))
      expect(stageOf.size).toBe(needs.size)
      for (const [name, all] of needs) {
        const latest = Math.max(-1, ...all.map((need) => stageOf.get(need) ?? NaN))
        expect(stageOf.get(name)).toBe(latest + 1)
      }
      expect(cycleIn(needs)).toBeUndefined()
      expect(missingNeeds(needs)).toEqual([])
    }),
    {numRuns: runsOf(100)},
  )
})

test('an edge back makes a cycle, which is named edge by edge', () => {
  const withBack = randomNeeds(SERVICES).chain((needs) =>
    fc.tuple(fc.constant(needs), fc.constantFrom(...needs.keys()), fc.nat()),
  )
  fc.assert(
    fc.property(withBack, ([needs, name, pick]) => {
      const below = [...allNeedsOf(name, needs)]
      const from = below[pick % Math.max(1, below.length)] ?? name
      const cyclic = new Map([...needs, [from, [...(needs.get(from) ?? []), name]]])
      const cycle = cycleIn(cyclic) ?? []
      expect(cycle.length).toBeGreaterThan(1)
      expect(cycle.at(0)).toBe(cycle.at(-1))
      for (const [index, need] of cycle.slice(1).entries()) {
        expect(cyclic.get(cycle[index] ?? '')).toContain(need)
      }
    }),
    {numRuns: runsOf(100)},
  )
})

test('a graph turned round twice is the same graph', () => {
  fc.assert(
    fc.property(randomNeeds(SERVICES), (needs) => {
      const twice = reversed(reversed(needs))
      const sorted = (all: readonly string[] | undefined) => [...new Set(all)].toSorted()
      for (const name of needs.keys()) expect(sorted(twice.get(name))).toEqual(sorted(needs.get(name)))
    }),
    {numRuns: runsOf(50)},
  )
})

test('needs of what is not there are found', () => {
  expect(
    missingNeeds(
      new Map([
        ['a', ['b', 'c']],
        ['b', []],
      ]),
    ),
  ).toEqual([{name: 'a', need: 'c'}])
})

test('a service that needs itself is a cycle', () => {
  expect(cycleIn(new Map([['a', ['a']]]))).toEqual(['a', 'a'])
})
