import {expect, test} from 'vitest'
import {planText, runText, terminateText} from '../../../src/cli/results.ts'
import {palette} from '../../../src/cli/terminal.ts'
import type {InitResult} from '../../../src/workflows/session/types.ts'

const options = {colours: palette(false), columns: undefined}
const nothing: InitResult = {
  cluster: 'docs',
  steps: [],
  machineChanges: [],
  dryRun: false,
  endpoint: undefined,
  kubeconfig: undefined,
  kubernetesVersion: '1.35.4',
  nodes: [],
  durationMs: 10_600,
  log: '/logs/run.log',
}

test('create ends with the machines it made', () => {
  const reason = 'does not exist'
  const machineChanges = ['machine cp-1', 'machine worker-1'].map(
    (what) => ({action: 'create', what, reason}) as const,
  )
  const [head] = runText({...nothing, machineChanges}, options).split('\n')
  expect(head).toBe('docs: made machine cp-1, machine worker-1 in 10.6 s')
})

test('a plan in a cloud reads as one: infrastructure, then hosts', () => {
  const machineChanges = [
    {action: 'update', what: 'aws_lb.api', reason: 'differs in tags'},
    {action: 'create', what: 'aws_instance.cp-1', reason: 'does not exist'},
  ] as const
  const steps = [{phase: 'kernel', host: 'cp-1', step: 'load modules', reason: 'not loaded'}]
  const text = planText({...nothing, machineChanges, steps, dryRun: true}, options)
  expect(text).toMatch(/^Infrastructure\n  update aws_lb.api \(differs in tags\)\n  create aws_instance.cp-1/)
  expect(text).toContain('2 infrastructure changes and 1 step to do; nothing was changed')
})

test('a plan for a pipe has lines of 200 columns at most', () => {
  const steps = [{phase: 'reset', host: 'cp-1', step: 'reset the node', reason: 'x'.repeat(500)}]
  const lines = planText({...nothing, steps, dryRun: true}, options).split('\n')
  expect(Math.max(...lines.map((line) => line.length))).toBe(200)
})

test('a dry run of terminate never says that anything is gone', () => {
  const result = {
    cluster: 'lab',
    removed: ['cp-1: reset the node', '/home/me/.clouder/kubeadm/lab'],
    skipped: [],
  }
  expect(terminateText(result, true)).toBe(
    'to remove lab:\n  cp-1: reset the node\n  /home/me/.clouder/kubeadm/lab\n\nnothing was changed',
  )
  expect(terminateText(result, false)).toMatch(/^lab removed: 2 items deleted\n/)
  const skipped = [{host: 'worker-1', address: '192.0.2.9', reason: 'no route', remains: 'all of it'}]
  expect(terminateText({...result, skipped}, false)).toMatch(
    /\nskipped worker-1 \(192\.0\.2\.9\): no route\n  not removed: all of it$/,
  )
})
