import {Registry} from 'prom-client'
import {expect, test} from 'vitest'
import {API_VERSION, THAW_ANNOTATION} from '../../../../src/api/names.ts'
import {checkpointSchema} from '../../../../src/api/resources.ts'
import {controllerMetrics} from '../../../../src/programs/controller/metrics.ts'
import {endOrphan} from '../../../../src/programs/controller/node-loss.ts'
import {ConflictError} from '../../../../src/kubernetes/conflict.ts'
import type {ReconcileContext} from '../../../../src/programs/controller/reconcile-context.ts'
import type {KubeObject} from '../../../../src/kubernetes/types.ts'
import {FakeKube} from '../../../support/fake-kube.ts'

const REF = {apiVersion: API_VERSION, kind: 'Checkpoint', namespace: 'default', name: 'saved'}
const asWritten = (status: object): KubeObject => ({
  apiVersion: API_VERSION,
  kind: 'Checkpoint',
  metadata: {name: REF.name, namespace: REF.namespace},
  spec: {podRef: {name: 'web'}, storeName: 'default', podPolicy: 'Freeze'},
  status,
})

/** A controller that has heard of no node, or of this one. */
const worldOf = (kube: FakeKube, node?: KubeObject): ReconcileContext => ({
  kube,
  component: 'clouder-controller',
  objects: {get: () => node, list: () => [], unreadable: () => []},
  openStore: () => Promise.reject(new Error('no store here')),
  usageOf: () => Promise.reject(new Error('no agent here')),
  metrics: controllerMetrics(new Registry()),
  log: () => undefined,
  now: Date.now,
  signal: new AbortController().signal,
})

const stored = async (kube: FakeKube): Promise<KubeObject> => {
  const object = await kube.get(REF)
  if (object === undefined) throw new Error('the checkpoint is gone')
  return object
}

test('a checkpoint that became Ready after it was last heard of stays Ready', async () => {
  const kube = new FakeKube()
  kube.put(asWritten({phase: 'Storing', nodeName: 'a', frozen: true}))
  const heard = await stored(kube)
  kube.put(asWritten({phase: 'Ready', nodeName: 'a', frozen: true}))
  await expect(endOrphan(heard, checkpointSchema.parse(heard), worldOf(kube))).rejects.toThrow(ConflictError)
  const {metadata, ...now} = await stored(kube)
  expect(now['status']).toMatchObject({phase: 'Ready', frozen: true})
  expect(metadata.annotations?.[THAW_ANNOTATION]).toBeUndefined()
})

test('one whose node is gone is failed, and left to its agent to thaw should the node come back', async () => {
  const kube = new FakeKube()
  kube.put(asWritten({phase: 'Storing', nodeName: 'a', frozen: true}))
  const heard = await stored(kube)
  await endOrphan(heard, checkpointSchema.parse(heard), worldOf(kube))
  const {metadata, ...now} = await stored(kube)
  expect(now['status']).toMatchObject({phase: 'Failed', reason: 'CHECKPOINT_FAILED', frozen: true})
  expect(metadata.annotations).toBeUndefined()
})

test('what is stored is not failed with its node', async () => {
  const kube = new FakeKube()
  kube.put(asWritten({phase: 'Ready', nodeName: 'a', frozen: true}))
  const heard = await stored(kube)
  expect(await endOrphan(heard, checkpointSchema.parse(heard), worldOf(kube))).toBeUndefined()
  expect((await stored(kube))['status']).toMatchObject({phase: 'Ready', frozen: true})
})

test.for([
  [4, 'Storing'],
  [6, 'Failed'],
] as const)('one whose node was not ready for %i minutes is %s', async ([minutes, phase]) => {
  const kube = new FakeKube()
  kube.put(asWritten({phase: 'Storing', nodeName: 'a'}))
  const heard = await stored(kube)
  const lastTransitionTime = new Date(Date.now() - minutes * 60_000).toISOString()
  const node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {name: 'a'},
    status: {conditions: [{type: 'Ready', status: 'Unknown', lastTransitionTime}]},
  }
  await endOrphan(heard, checkpointSchema.parse(heard), worldOf(kube, node))
  expect((await stored(kube))['status']).toMatchObject({phase})
})
