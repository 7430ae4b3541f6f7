import {expect, test} from 'vitest'
import {withCondition} from '../../../src/operator/conditions.ts'

const READY = {type: 'Ready', status: 'True', reason: 'Answered', message: 'it answers'} as const
const LOST = {type: 'Ready', status: 'False', reason: 'Silent', message: 'no answer'} as const
const VALID = {type: 'Valid', status: 'True', reason: 'Valid', message: ''} as const
const OTHER = {...VALID, lastTransitionTime: '2025-12-31T00:00:00.000Z'}
const at = (time: string, generation?: number) => ({generation, nowMs: Date.parse(time)})

test('a condition tells of which generation it was observed, and when its status changed last', () => {
  const first = withCondition(undefined, READY, at('2026-01-01T00:00:00Z', 1))
  const [{lastTransitionTime} = {lastTransitionTime: ''}] = first
  expect(Date.parse(lastTransitionTime)).toBe(Date.parse('2026-01-01T00:00:00Z'))
  expect(first).toEqual([{...READY, lastTransitionTime, observedGeneration: 1}])
  const same = withCondition(first, {...READY, message: 'still'}, at('2026-01-01T01:00:00Z', 2))
  expect(same).toEqual([{...READY, message: 'still', lastTransitionTime, observedGeneration: 2}])
  const [lost] = withCondition(same, LOST, at('2026-01-01T02:00:00Z', 2))
  expect(Date.parse(lost?.lastTransitionTime ?? '')).toBe(Date.parse('2026-01-01T02:00:00Z'))
})

test('two who write a condition each do not move that of the other', () => {
  const both = withCondition([OTHER], READY, at('2026-01-01T00:00:00Z', 1))
  expect(withCondition(both, VALID, at('2026-01-01T00:00:01Z'))).toEqual(both)
  expect(withCondition(both, READY, at('2026-01-01T00:00:01Z', 1))).toEqual(both)
})

test('of an object that has no generation none is told', () => {
  expect(withCondition([], READY, at('2026-01-01T00:00:00Z'))[0]).not.toHaveProperty('observedGeneration')
})
