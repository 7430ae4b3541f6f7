import {expect, test} from 'vitest'
import {nodePressure, nodeProblem} from '../../../../src/bootstrap/phases/node-conditions.ts'

const nodeWith = (...conditions: readonly [type: string, status: string][]) => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: {name: 'worker-1'},
  status: {conditions: conditions.map(([type, status]) => ({type, status, reason: `Because${type}`}))},
})

test('a node that is Ready but out of disk takes no pods, and that is said', () => {
  const node = nodeWith(['DiskPressure', 'True'], ['MemoryPressure', 'False'], ['Ready', 'True'])
  expect(nodeProblem(node)).toBeUndefined()
  expect(nodePressure(node)).toBe('node worker-1 accepts no pods: DiskPressure')
})

test('a node without pressure has no problem', () => {
  const node = nodeWith(['DiskPressure', 'False'], ['Ready', 'True'])
  expect(nodePressure(node)).toBeUndefined()
})

test('a node that is not Ready tells why', () => {
  expect(nodeProblem(nodeWith(['Ready', 'False']))).toBe('node worker-1 is not Ready (BecauseReady)')
})
