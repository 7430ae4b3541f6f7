import {expect, test} from 'vitest'
import type {KubeObject} from '../../../../src/kubernetes/types.ts'
import {hasReadiness, unreadyOf} from '../../../../src/platform/release/conditions.ts'

const object = (
  apiVersion: string,
  kind: string,
  status: object,
  spec: object = {},
  generation = 1,
): KubeObject => ({
  apiVersion,
  kind,
  metadata: {name: 'a', namespace: 'b', generation},
  spec,
  status,
})
const condition = (type: string, status: string, reason?: string) => ({conditions: [{type, status, reason}]})
const seen = {observedGeneration: 1}

test.for<[string, KubeObject]>([
  [
    'a Deployment',
    object(
      'apps/v1',
      'Deployment',
      {...seen, replicas: 2, updatedReplicas: 2, availableReplicas: 2},
      {replicas: 2},
    ),
  ],
  ['a Deployment of none', object('apps/v1', 'Deployment', seen, {replicas: 0})],
  ['a DaemonSet without nodes', object('apps/v1', 'DaemonSet', {...seen, desiredNumberScheduled: 0})],
  ['a StatefulSet', object('apps/v1', 'StatefulSet', {...seen, updatedReplicas: 1, readyReplicas: 1})],
  ['a pod that ended well', object('v1', 'Pod', {phase: 'Succeeded'})],
  ['a Job', object('batch/v1', 'Job', condition('Complete', 'True'))],
  ['a claim', object('v1', 'PersistentVolumeClaim', {phase: 'Bound'})],
  ['a Service', object('v1', 'Service', {}, {type: 'ClusterIP'})],
  [
    'a Service with its address',
    object('v1', 'Service', {loadBalancer: {ingress: [{ip: '1.2.3.4'}]}}, {type: 'LoadBalancer'}),
  ],
  [
    'a definition',
    object('apiextensions.k8s.io/v1', 'CustomResourceDefinition', condition('Established', 'True')),
  ],
  ['an unknown kind without conditions', object('example.dev/v1', 'Thing', {})],
  ['an unknown kind', object('example.dev/v1', 'Thing', condition('Ready', 'True'))],
])('%s is ready', ([, given]) => {
  expect(unreadyOf(given)).toBeUndefined()
})

test.for<[string, KubeObject, RegExp, boolean]>([
  [
    'a Deployment not seen yet',
    object('apps/v1', 'Deployment', {...seen, availableReplicas: 1}, {}, 2),
    /has not seen the change/,
    false,
  ],
  ['a Deployment nobody looked at', object('apps/v1', 'Deployment', {}), /has not seen it/, false],
  [
    'a Deployment with old pods',
    object(
      'apps/v1',
      'Deployment',
      {...seen, replicas: 2, updatedReplicas: 1, availableReplicas: 1},
      {replicas: 1},
    ),
    /1 old/,
    false,
  ],
  [
    'a Deployment that is late',
    object('apps/v1', 'Deployment', {
      ...seen,
      ...condition('Progressing', 'False', 'ProgressDeadlineExceeded'),
    }),
    /ProgressDeadlineExceeded/,
    true,
  ],
  [
    'a DaemonSet',
    object('apps/v1', 'DaemonSet', {
      ...seen,
      desiredNumberScheduled: 3,
      updatedNumberScheduled: 3,
      numberAvailable: 1,
    }),
    /1 of 3/,
    false,
  ],
  ['a pod that failed', object('v1', 'Pod', {phase: 'Failed'}), /failed/, true],
  [
    'a Job that failed',
    object('batch/v1', 'Job', condition('Failed', 'True', 'BackoffLimitExceeded')),
    /BackoffLimitExceeded/,
    true,
  ],
  ['a Job at work', object('batch/v1', 'Job', {}), /not complete/, false],
  ['a claim', object('v1', 'PersistentVolumeClaim', {phase: 'Pending'}), /Pending/, false],
  ['a Service without address', object('v1', 'Service', {}, {type: 'LoadBalancer'}), /load balancer/, false],
  [
    'an APIService',
    object('apiregistration.k8s.io/v1', 'APIService', condition('Available', 'False', 'MissingEndpoints')),
    /MissingEndpoints/,
    false,
  ],
  [
    'an unknown kind',
    object('example.dev/v1', 'Thing', condition('Ready', 'False', 'Waits')),
    /Waits/,
    false,
  ],
  [
    'an unknown kind that is stalled',
    object('example.dev/v1', 'Thing', {
      conditions: [
        {type: 'Ready', status: 'Unknown'},
        {type: 'Stalled', status: 'True', reason: 'Broken'},
      ],
    }),
    /Broken/,
    true,
  ],
])('%s is not ready: %s', ([, given, problem, isStuck]) => {
  const found = unreadyOf(given)
  expect(found?.problem).toMatch(problem)
  expect(found?.isStuck).toBe(isStuck)
})

test('what has no status of interest is not read', () => {
  expect(hasReadiness(object('v1', 'ConfigMap', {}))).toBe(false)
  expect(hasReadiness(object('apps/v1', 'Deployment', {}))).toBe(true)
})
