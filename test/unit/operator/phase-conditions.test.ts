import {expect, test} from 'vitest'
import {withPhaseConditions} from '../../../src/operator/phase-conditions.ts'

const AT = Date.parse('2026-01-01T00:00:00Z')
const object = (kind: string, status?: unknown) => ({kind, metadata: {generation: 3}, status})

test('a phase is told by conditions, each of which is observed of a generation', () => {
  const status = withPhaseConditions(object('Checkpoint'), {phase: 'Dumping'}, AT)
  const observed = {status: 'False', reason: 'Dumping', message: '', observedGeneration: 3}
  expect(status).toMatchObject({
    phase: 'Dumping',
    conditions: [
      {type: 'Ready', ...observed},
      {type: 'Failed', ...observed},
    ],
  })
})

test.for([
  ['Checkpoint', 'Ready', ['Ready']],
  ['Restore', 'Restored', ['Complete']],
  ['Migration', 'Succeeded', ['Complete']],
  ['Migration', 'RolledBack', ['Failed']],
  ['Runtime', 'Running', ['Ready']],
  ['Runtime', 'Paused', ['Paused']],
  ['Runtime', 'Failed', ['Failed']],
] as const)('of a %s that is %s %s is true', ([kind, phase, types]) => {
  const {conditions} = withPhaseConditions(object(kind), {phase}, AT) as {
    conditions: readonly {type: string; status: string}[]
  }
  expect(conditions.filter(({status}) => status === 'True').map(({type}) => type)).toEqual(types)
})

test('a failure has its reason and its message, and a condition keeps its time while its status stays', () => {
  const before = withPhaseConditions(object('Restore'), {phase: 'Pending'}, AT)
  const next = {phase: 'Failed', reason: 'NODE_UNLIKE', message: 'no node can run the pod'}
  const {conditions} = withPhaseConditions(object('Restore', before), next, AT + 60_000) as {
    conditions: readonly object[]
  }
  expect(conditions).toMatchObject([
    {type: 'Complete', status: 'False', reason: 'Failed', lastTransitionTime: '2026-01-01T00:00:00Z'},
    {
      type: 'Failed',
      status: 'True',
      reason: 'NODE_UNLIKE',
      message: 'no node can run the pod',
      lastTransitionTime: '2026-01-01T00:01:00Z',
    },
  ])
})

test.for([
  ['Checkpoint', {message: 'storing 5 of 9 pieces'}],
  ['CheckpointPolicy', {phase: 'odd'}],
] as const)('of a %s %j is written as it is', ([kind, status]) => {
  expect(withPhaseConditions(object(kind), status, AT)).toBe(status)
})
