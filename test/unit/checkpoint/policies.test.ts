import {expect, test} from 'vitest'
import {podSchema, quantity} from '../../../src/kubernetes/pod.ts'
import {drainPlan, selects} from '../../../src/checkpoint/policies.ts'
import {checkpointPolicySchema} from '../../../src/api/resources.ts'

const pod = (name: string, more: {metadata?: object; status?: object} = {}) =>
  podSchema.parse({
    metadata: {name, namespace: 'default', labels: {app: 'web'}, ...more.metadata},
    spec: {nodeName: 'a'},
    status: {phase: 'Running', ...more.status},
  })
const policy = (name: string, spec: object, namespace = 'default') =>
  checkpointPolicySchema.parse({
    metadata: {name, namespace},
    spec: {selector: {matchLabels: {app: 'web'}}, ...spec},
  })
const owned = (kind: string) => ({
  metadata: {ownerReferences: [{apiVersion: 'v1', kind, name: 'o', uid: 'o', controller: true}]},
})

test('what a policy opts in is moved, what a drain leaves alone stays, the rest is evicted', () => {
  const plan = drainPlan(
    [
      pod('opted-in'),
      pod('of-a-stateful-set', owned('StatefulSet')),
      pod('not-chosen', {metadata: {labels: {app: 'other'}}}),
      pod('elsewhere', {metadata: {namespace: 'other'}}),
      pod('pending', {status: {phase: 'Pending'}}),
      pod('of-a-job', owned('Job')),
      pod('of-a-daemon-set', owned('DaemonSet')),
      pod('mirror', {metadata: {annotations: {'kubernetes.io/config.mirror': 'x'}}}),
      pod('going', {metadata: {deletionTimestamp: '2026-11-21T09:00:00Z'}}),
      pod('done', {status: {phase: 'Succeeded'}}),
    ],
    [
      policy('b', {migrateOnDrain: true, storeName: 'far'}),
      policy('a', {checkpointOnInterruption: true}),
      policy('c', {}),
    ],
  )
  expect(plan.move.map(({pod: {metadata}, policy: name, store}) => [metadata.name, name, store])).toEqual([
    ['opted-in', 'b', 'far'],
    ['of-a-stateful-set', 'b', 'far'],
  ])
  expect(plan.evict.map(({metadata}) => metadata.name)).toEqual([
    'not-chosen',
    'elsewhere',
    'pending',
    'of-a-job',
  ])
  expect(plan.leave.map(({pod: {metadata}}) => metadata.name)).toEqual([
    'of-a-daemon-set',
    'mirror',
    'going',
    'done',
  ])
})

test('an interruption asks other policies than a drain, and one that is suspended is not asked', () => {
  const policies = [
    policy('a', {checkpointOnInterruption: true}),
    policy('b', {migrateOnDrain: true, suspend: true}),
  ]
  expect(drainPlan([pod('web')], policies, 'checkpointOnInterruption').move).toMatchObject([{policy: 'a'}])
  expect(drainPlan([pod('web')], policies).move).toEqual([])
})

test.for([
  [{}, {a: 'x'}, true],
  [{matchLabels: {a: 'x'}}, {a: 'x', b: 'y'}, true],
  [{matchLabels: {a: 'x'}}, {}, false],
  [{matchExpressions: [{key: 'a', operator: 'In', values: ['x', 'y']}]}, {a: 'y'}, true],
  [{matchExpressions: [{key: 'a', operator: 'NotIn', values: ['x']}]}, {}, true],
  [{matchExpressions: [{key: 'a', operator: 'Exists'}]}, {}, false],
  [{matchExpressions: [{key: 'a', operator: 'DoesNotExist'}]}, {a: 'x'}, false],
] as const)('selector %j and labels %j: %s', ([selector, labels, expected]) => {
  const parsed = checkpointPolicySchema.shape.spec.shape.selector.parse(selector)
  expect(selects(parsed, labels)).toBe(expected)
})

test.for([
  ['250m', 0.25],
  ['2', 2],
  ['1.5', 1.5],
  ['1Ki', 1024],
  ['2Gi', 2 * 2 ** 30],
  ['1k', 1000],
  ['1e3', 1000],
  ['100u', 1e-4],
] as const)('the quantity %s is %d', ([text, expected]) => {
  expect(quantity(text)).toBeCloseTo(expected, 9)
})

test('what is no quantity is refused', () => {
  for (const text of ['', 'x', '1Q', '1 Gi']) expect(() => quantity(text)).toThrow('is not a quantity')
})
