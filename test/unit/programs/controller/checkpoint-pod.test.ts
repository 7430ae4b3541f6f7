import {expect, test} from 'vitest'
import {API_VERSION} from '../../../../src/api/names.ts'
import {checkpointSchema} from '../../../../src/api/resources.ts'
import {assignPod} from '../../../../src/programs/controller/checkpoint-pod.ts'
import type {KubeObject} from '../../../../src/kubernetes/types.ts'
import {controllerScene} from '../../../support/controller-scene.ts'
import {FakeKube} from '../../../support/fake-kube.ts'

const {signal} = new AbortController()
const REF = {apiVersion: API_VERSION, kind: 'Checkpoint', namespace: 'default', name: 'saved'}

const POD = {apiVersion: 'v1', kind: 'Pod', namespace: 'default', name: 'web'}
const uidOf = (kube: FakeKube) => kube.peek('v1', 'Pod')[0]?.metadata.uid

const pod = (node: string | undefined, metadata: object = {}, image = 'app:1'): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {name: 'web', namespace: 'default', ...metadata},
  spec: {...(node === undefined ? {} : {nodeName: node}), containers: [{name: 'main', image}]},
})

function asked(kube: FakeKube, {status, ...spec}: {podRef: object; status?: object}): void {
  kube.put({
    apiVersion: API_VERSION,
    kind: 'Checkpoint',
    metadata: {name: 'saved', namespace: 'default'},
    spec: {storeName: 'default', podPolicy: 'Resume', ...spec},
    ...(status === undefined ? {} : {status}),
  })
}

const PENDING: unknown = ['Ready', 'Failed'].map((type): unknown =>
  expect.objectContaining({type, status: 'False', reason: 'Pending'}),
)

/** What the controller makes of the Checkpoint as it is now. */
async function assigned(kube: FakeKube): Promise<unknown> {
  const [object] = kube.peek(API_VERSION, 'Checkpoint')
  if (object === undefined) throw new Error('there is none')
  await assignPod(object, checkpointSchema.parse(object), {kube, now: Date.now, signal})
  return (await kube.get(REF))?.['status']
}

test('a checkpoint is given to the node of its pod, with what a restore makes of that', async () => {
  const kube = new FakeKube()
  kube.put(pod('a', {labels: {app: 'web', old: 'x'}, annotations: {team: 'red'}}))
  asked(kube, {podRef: {name: 'web'}})
  const template = {
    metadata: {labels: {app: 'web', old: 'x'}, annotations: {team: 'red'}},
    spec: {containers: [{name: 'main', image: 'app:1'}]},
  }
  const podUID = uidOf(kube)
  expect(await assigned(kube)).toEqual({
    phase: 'Pending',
    nodeName: 'a',
    podUID,
    podTemplate: template,
    conditions: PENDING,
  })
})

test('as long as nobody has begun it follows the pod, and keeps nothing of what that was', async () => {
  const kube = new FakeKube()
  kube.put(pod('a', {labels: {app: 'web', old: 'x'}, annotations: {team: 'red'}}))
  asked(kube, {podRef: {name: 'web'}})
  await assigned(kube)
  kube.drop(POD)
  kube.put(pod('b', {labels: {app: 'web'}}, 'app:2'))
  const next = {
    phase: 'Pending',
    nodeName: 'b',
    podUID: uidOf(kube),
    podTemplate: {metadata: {labels: {app: 'web'}}, spec: {containers: [{name: 'main', image: 'app:2'}]}},
    conditions: PENDING,
  }
  expect(await assigned(kube)).toEqual(next)
  const [before] = kube.peek(API_VERSION, 'Checkpoint')
  expect(await assigned(kube)).toEqual(next)
  expect(kube.peek(API_VERSION, 'Checkpoint')[0]?.metadata.resourceVersion).toBe(
    before?.metadata.resourceVersion,
  )
})

test.for<[string, KubeObject | undefined, {podRef: object; status?: object}]>([
  ['there is no such pod', undefined, {podRef: {name: 'web'}}],
  ['its pod is on no node yet', pod(undefined), {podRef: {name: 'web'}}],
  ['its pod is another one', pod('a'), {podRef: {name: 'web', uid: 'u1'}}],
  [
    'an agent is at work on it',
    pod('b'),
    {podRef: {name: 'web'}, status: {phase: 'Dumping', nodeName: 'a', podUID: 'u1'}},
  ],
  ['it is over', pod('b'), {podRef: {name: 'web'}, status: {phase: 'Ready', nodeName: 'a'}}],
])('it is given to nobody when %s', async ([, found, wanted]) => {
  const kube = new FakeKube()
  if (found !== undefined) kube.put(found)
  asked(kube, wanted)
  expect(await assigned(kube)).toEqual(wanted.status)
})

test('a pod that comes to a node late is noticed', async () => {
  const scene = controllerScene()
  scene.nodes.addNode('a')
  scene.kube.put(pod(undefined))
  scene.put('Checkpoint', 'saved', {podRef: {name: 'web'}, storeName: 'default', podPolicy: 'Resume'})
  await scene.play({until: () => scene.kube.peek(API_VERSION, 'Checkpoint')[0]?.['status'] !== undefined})
  expect(scene.status('Checkpoint', 'saved')).toMatchObject({nodeName: 'a', podUID: uidOf(scene.kube)})
})
