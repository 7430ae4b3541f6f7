import {expect, test} from 'vitest'
import {
  AWS_MACHINES,
  AZURE_MACHINES,
  reportStops,
} from '../../../../src/infrastructure/providers/terraform-machines.ts'
import {changesOf} from '../../../../src/infrastructure/providers/terraform-report.ts'
import type {ResourceChange} from '../../../../src/terraform/types.ts'
import {recordingReport} from '../../../support/recording-report.ts'

type Actions = ResourceChange['actions']

const node = (name: string) => ({name, role: name.startsWith('cp-') ? 'control-plane' : 'worker'})
const prior = (...names: string[]) => ({machines: names.map(node), endpoint: {internal: 'x'}})
const change = (type: string, name: string, actions: Actions, attributes?: string[]): ResourceChange => ({
  address: `${type}.${name}`,
  type,
  actions,
  ...(attributes === undefined ? {} : {attributes}),
})

test.each([
  [AWS_MACHINES, ['update'], ['instance_type', 'public_ip'], true],
  [AWS_MACHINES, ['update'], ['tags', 'root_block_device'], false],
  [AZURE_MACHINES, ['update'], ['size'], true],
  [AZURE_MACHINES, ['update'], ['tags', 'identity'], false],
  [AWS_MACHINES, ['delete', 'create'], undefined, true],
  [AZURE_MACHINES, ['create', 'delete'], undefined, true],
  [AWS_MACHINES, ['delete'], undefined, true],
  [AWS_MACHINES, ['create'], undefined, false],
] as const)('%o: %j of %j interrupts a node: %s', (kind, actions, attributes, interrupts) => {
  const changes = [change(kind.machineType, 'cp-1', actions, attributes && [...attributes])]
  const [found] = changesOf({changes, priorOutputs: prior('cp-1', 'worker-1')}, kind)
  expect(found?.machine).toBe('cp-1')
  expect(found?.interrupts).toBe(interrupts ? 'control-plane' : undefined)
})

test('what was never finished, a jump host and what is no machine interrupt no node', () => {
  const replaced = ['delete', 'create'] as const
  const changes = [
    change('aws_instance', 'cp-2', replaced),
    change('aws_instance', 'bastion', replaced),
    change('aws_lb', 'cp-1', replaced),
  ]
  const found = changesOf({changes, priorOutputs: prior('cp-1')}, AWS_MACHINES)
  expect(found.map(({interrupts}) => interrupts)).toEqual([undefined, undefined, undefined])
  const first = changesOf({changes, priorOutputs: {}}, AWS_MACHINES)
  expect(first.every(({interrupts}) => interrupts === undefined)).toBe(true)
})

test('the removal of every node was asked for; of some of them it is told', () => {
  const all = ['cp-1', 'cp-2', 'cp-3'].map((name) => change('aws_instance', name, ['delete']))
  const priorOutputs = prior('cp-1', 'cp-2', 'cp-3')
  const interruptedOf = (changes: ResourceChange[]) =>
    changesOf({changes, priorOutputs}, AWS_MACHINES).filter(({interrupts}) => interrupts !== undefined)
  expect(interruptedOf(all)).toEqual([])
  expect(interruptedOf(all.slice(1)).map(({machine}) => machine)).toEqual(['cp-2', 'cp-3'])
})

test.each([
  [['cp-1'], ['cp-1', 'worker-1'], /^cp-1 is stopped for this change; until it runs again, the API server/],
  [['cp-1'], ['cp-1', 'cp-2', 'cp-3'], undefined],
  [['cp-1', 'cp-3'], ['cp-1', 'cp-2', 'cp-3'], /^cp-1, cp-3 would stop at the same time/],
  [['worker-1'], ['cp-1', 'worker-1'], undefined],
])('a plan that stops %j of %j warns: %s', (stopped, there, warning) => {
  const changes = stopped.map((name) => change('aws_instance', name, ['update'], ['instance_type']))
  const plan = {changes, priorOutputs: prior(...there)}
  const report = recordingReport()
  reportStops(plan, changesOf(plan, AWS_MACHINES), {report: report.report, readOnly: true})
  const told = report.of('note').map(({text}) => text)
  if (warning === undefined) expect(told).toEqual([])
  else expect(told).toEqual([expect.stringMatching(warning)])
})
