import {expect, test} from 'vitest'
import {parsePod} from '../../../../src/kubernetes/pod.ts'
import {ranAs} from '../../../../src/programs/node-agent/restore-decision.ts'

const pod = (more: Record<string, unknown>) =>
  parsePod({apiVersion: 'v1', kind: 'Pod', metadata: {name: 'web', namespace: 'shop', uid: 'u'}, ...more})

test.for([
  ['runs', {containerID: 'containerd://c1', state: {running: {}}}, true],
  ['ran', {lastState: {terminated: {reason: 'Completed', containerID: 'containerd://c1'}}}, true],
  [
    'could not be started',
    {state: {terminated: {reason: 'StartError', containerID: 'containerd://c1'}}},
    false,
  ],
  ['is another one', {containerID: 'containerd://c2', state: {running: {}}}, false],
  ['is being made', {containerID: 'containerd://c1', state: {waiting: {reason: 'ContainerCreating'}}}, false],
] as const)('whether a restored container came to run: it %s', ([, status, expected]) => {
  const seen = pod({spec: {containers: []}, status: {containerStatuses: [{name: 'web', ...status}]}})
  expect(ranAs(seen, 'web', 'c1')).toBe(expected)
})
