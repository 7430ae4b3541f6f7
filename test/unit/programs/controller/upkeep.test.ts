import {expect, test} from 'vitest'
import {CHECKPOINT_FINALIZER} from '../../../../src/api/names.ts'
import {CheckpointError} from '../../../../src/checkpoint/errors.ts'
import {manifestOf, putBytes} from '../../../support/blob-store-contract.ts'
import {controllerScene, type ControllerScene, type SceneOptions} from '../../../support/controller-scene.ts'
import {memoryBlobs} from '../../../support/memory-blobs.ts'

const SIGNAL = new AbortController().signal
const S3 = {s3: {bucket: 'b', region: 'eu-central-1'}, credentials: {secretName: 'keys'}}

function sceneWithPod(options: SceneOptions = {}) {
  const scene = controllerScene(options)
  scene.nodes.addNode('a')
  scene.nodes.addNode('b')
  scene.nodes.runPod('web', 'a', 'memory')
  return scene
}
const statusOf = (scene: ControllerScene, name: string) =>
  scene.status('Checkpoint', name) as {phase?: string; reason?: string; digest?: string} | undefined
const hasEnded = (scene: ControllerScene, name: string) => () =>
  ['Ready', 'Failed'].includes(statusOf(scene, name)?.phase ?? '')
const deleteCheckpoint = (scene: ControllerScene, name: string) =>
  scene.kube.delete({apiVersion: 'clouder.dev/v1alpha1', kind: 'Checkpoint', name, namespace: 'default'})

test('a deleted checkpoint takes what it stored with it, with the credentials of its store', async () => {
  const blobs = memoryBlobs()
  const {digest: blob} = await putBytes(blobs, Buffer.from('sealed'))
  const digest = await blobs.putManifest(manifestOf(blob), 'default-saved', SIGNAL)
  const opened: unknown[] = []
  const scene = sceneWithPod({
    openStore: (spec, credentials) => {
      opened.push(credentials)
      return Promise.resolve(blobs)
    },
  })
  scene.kube.put({apiVersion: 'v1', kind: 'Namespace', metadata: {name: 'clouder-system'}})
  scene.kube.put({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {name: 'keys', namespace: 'clouder-system'},
    data: {accessKeyId: Buffer.from('me').toString('base64')},
  })
  scene.put('CheckpointStore', 'far', S3)
  scene.nodes.dead.add('a')
  for (const name of ['one', 'two']) {
    scene.put('Checkpoint', name, {podRef: {name: 'web'}, storeName: 'far', podPolicy: 'Resume'})
    const object = scene.object('Checkpoint', name)
    if (object !== undefined) scene.kube.put({...object, status: {phase: 'Ready', nodeName: 'a', digest}})
  }
  await scene.play({forMs: 10_000})
  expect(scene.object('Checkpoint', 'one')?.metadata.finalizers).toEqual([CHECKPOINT_FINALIZER])
  await deleteCheckpoint(scene, 'one')
  await scene.play({forMs: 60_000})
  expect(scene.object('Checkpoint', 'one')).toBeUndefined()
  // The other one is the same.
  expect(await blobs.listManifests(SIGNAL)).toHaveLength(1)
  await deleteCheckpoint(scene, 'two')
  await scene.play({forMs: 60_000})
  expect(scene.object('Checkpoint', 'two')).toBeUndefined()
  expect(await blobs.listManifests(SIGNAL)).toEqual([])
  expect(opened).toContainEqual({accessKeyId: 'me'})
  await scene.end()
})

test('a deleted checkpoint waits for a store that is away, and goes without one that was deleted too', async () => {
  const scene = sceneWithPod({
    openStore: () => Promise.reject(new CheckpointError('STORE_UNREACHABLE', 'b does not answer')),
  })
  scene.put('CheckpointStore', 'far', {s3: S3.s3})
  scene.nodes.dead.add('a')
  scene.put('Checkpoint', 'saved', {podRef: {name: 'web'}, storeName: 'far', podPolicy: 'Resume'})
  const object = scene.object('Checkpoint', 'saved')
  const status = {phase: 'Ready', nodeName: 'a', digest: `sha256:${'ab'.repeat(32)}`}
  if (object !== undefined) scene.kube.put({...object, status})
  await scene.play({forMs: 10_000})
  await deleteCheckpoint(scene, 'saved')
  // The queue tries such work again.
  await expect(scene.play({forMs: 60_000})).rejects.toThrow('b does not answer')
  expect(scene.object('Checkpoint', 'saved')).toBeDefined()
  scene.kube.drop({apiVersion: 'clouder.dev/v1alpha1', kind: 'CheckpointStore', name: 'far'})
  await scene.play({forMs: 10 * 60_000})
  expect(scene.object('Checkpoint', 'saved')).toBeUndefined()
  await scene.end()
})

test('a checkpoint on the disk of a node that is gone goes by itself', async () => {
  const scene = sceneWithPod()
  scene.put('CheckpointStore', 'default', {node: {}})
  scene.put('Checkpoint', 'saved', {podRef: {name: 'web'}, storeName: 'default', podPolicy: 'Resume'})
  await scene.play({until: hasEnded(scene, 'saved')})
  await scene.play({forMs: 1000})
  scene.nodes.dead.add('a')
  await deleteCheckpoint(scene, 'saved')
  await scene.play({forMs: 60_000})
  expect(scene.object('Checkpoint', 'saved')).toBeDefined()
  scene.kube.drop({apiVersion: 'v1', kind: 'Node', name: 'a'})
  await scene.play({forMs: 60_000})
  expect(scene.object('Checkpoint', 'saved')).toBeUndefined()
  await scene.end()
})

test('a pod that stands still for a checkpoint that is deleted goes on', async () => {
  const scene = sceneWithPod()
  scene.put('CheckpointStore', 'default', {node: {}})
  scene.put('Checkpoint', 'saved', {podRef: {name: 'web'}, storeName: 'default', podPolicy: 'Freeze'})
  await scene.play({until: hasEnded(scene, 'saved')})
  await scene.play({forMs: 1000})
  expect(scene.nodes.runningWith('memory')).toEqual([])
  await deleteCheckpoint(scene, 'saved')
  await scene.play({forMs: 60_000})
  expect(scene.object('Checkpoint', 'saved')).toBeUndefined()
  expect(scene.nodes.runningWith('memory')).toEqual(['web'])
  await scene.end()
})

test.for([
  ['its pod is not there', {name: 'absent'}, 'POD_NOT_FOUND', /pod absent not found/],
  ['its pod is another one', {name: 'web', uid: 'other'}, 'POD_NOT_FOUND', /not the requested one/],
] as const)('a checkpoint that nobody will take fails at once when %s', async ([, pod, reason, words]) => {
  const scene = sceneWithPod()
  scene.put('Checkpoint', 'saved', {podRef: pod, storeName: 'default', podPolicy: 'Resume'})
  await scene.play({until: hasEnded(scene, 'saved')})
  expect(statusOf(scene, 'saved')).toMatchObject({
    phase: 'Failed',
    reason,
    message: expect.stringMatching(words) as string,
  })
  await scene.end()
})

test('a checkpoint whose node is lost fails, when the node is removed or after minutes of silence', async () => {
  const scene = sceneWithPod()
  scene.nodes.runPod('db', 'b', 'x')
  for (const [name, pod] of [
    ['one', 'web'],
    ['two', 'db'],
  ] as const)
    scene.put('Checkpoint', name, {podRef: {name: pod}, storeName: 'default', podPolicy: 'Resume'})
  await scene.play({until: () => statusOf(scene, 'one')?.phase === 'Storing'})
  for (const node of ['a', 'b']) scene.nodes.dead.add(node)
  const lost = scene.kube.peek('v1', 'Node').find(({metadata}) => metadata.name === 'b')
  const silent = {
    type: 'Ready',
    status: 'Unknown',
    lastTransitionTime: new Date(scene.clock.now()).toISOString(),
  }
  if (lost !== undefined) scene.kube.put({...lost, status: {conditions: [silent]}})
  scene.kube.drop({apiVersion: 'v1', kind: 'Node', name: 'a'})
  await scene.play({forMs: 60_000})
  expect([statusOf(scene, 'one')?.phase, statusOf(scene, 'two')?.phase]).toEqual(['Failed', 'Storing'])
  await scene.play({forMs: 6 * 60_000})
  expect(statusOf(scene, 'two')).toMatchObject({phase: 'Failed', reason: 'CHECKPOINT_FAILED'})
  await scene.end()
})

test('a node without an agent is named when nobody has taken a checkpoint for a minute', async () => {
  const scene = sceneWithPod()
  scene.nodes.dead.add('a')
  const node = scene.kube.peek('v1', 'Node').find(({metadata}) => metadata.name === 'a')
  if (node !== undefined) scene.kube.put({...node, metadata: {name: 'a'}})
  scene.put('Checkpoint', 'saved', {podRef: {name: 'web'}, storeName: 'default', podPolicy: 'Resume'})
  await scene.play({until: hasEnded(scene, 'saved')})
  expect(statusOf(scene, 'saved')).toMatchObject({phase: 'Failed', reason: 'ADDON_MISSING'})
  await scene.end()
})

test('a store tells whether it answers, and why not', async () => {
  const problems: CheckpointError[] = []
  const scene = controllerScene({
    openStore: () => {
      const [problem] = problems
      return problem === undefined ? Promise.resolve(memoryBlobs()) : Promise.reject(problem)
    },
  })
  scene.put('CheckpointStore', 'near', {node: {}})
  scene.put('CheckpointStore', 'far', {s3: S3.s3})
  const ready = (name: string): unknown =>
    (scene.status('CheckpointStore', name) as {conditions: unknown[]}).conditions[0]
  await scene.play({forMs: 10_000})
  expect(ready('near')).toMatchObject({type: 'Ready', status: 'True'})
  expect(ready('far')).toMatchObject({type: 'Ready', status: 'True'})
  problems.push(new CheckpointError('STORE_REFUSED', 's3://b refused the credentials'))
  await scene.play({forMs: 10 * 60_000})
  expect(ready('far')).toMatchObject({
    status: 'False',
    reason: 'STORE_REFUSED',
    message: 's3://b refused the credentials',
  })
  await scene.end()
})

test('a host counts as gone a minute after its last heartbeat, and takes nothing new while it is drained', async () => {
  const scene = controllerScene()
  scene.put('ContainerHost', 'box', {slots: 1})
  const ready = (): unknown => (scene.status('ContainerHost', 'box') as {conditions: unknown[]}).conditions[0]
  const beat = (): void => {
    const object = scene.object('ContainerHost', 'box')
    const lastHeartbeatTime = new Date(scene.clock.now()).toISOString()
    if (object !== undefined)
      scene.kube.put({...object, status: {...Object(object['status']), lastHeartbeatTime}})
  }
  await scene.play({forMs: 1000})
  expect(ready()).toMatchObject({status: 'False', reason: 'NeverReported'})
  beat()
  await scene.play({forMs: 30_000})
  expect(ready()).toMatchObject({status: 'True'})
  await scene.play({forMs: 60_000})
  expect(ready()).toMatchObject({status: 'False', reason: 'HeartbeatMissing'})
  const object = scene.object('ContainerHost', 'box')
  if (object !== undefined) scene.kube.put({...object, spec: {slots: 1, unschedulable: true}})
  beat()
  await scene.play({forMs: 1000})
  expect(ready()).toMatchObject({status: 'False', reason: 'Draining'})
  await scene.end()
})

test('a host that has joined is as ready as its node, and tells the runtimes that run there', async () => {
  const scene = controllerScene()
  scene.nodes.addNode('lab-1')
  scene.put('ContainerHost', 'lab-1', {slots: 1})
  scene.put('Runtime', 'work', {image: 'i', storeName: 'default', state: 'Running'})
  const told = () => scene.status('ContainerHost', 'lab-1')
  await scene.play({forMs: 10_000})
  expect(told()).toMatchObject({
    joined: true,
    running: ['default/work'],
    conditions: [{type: 'Ready', status: 'True', reason: 'Joined'}],
  })
  const node = scene.kube.peek('v1', 'Node')[0]
  if (node !== undefined)
    scene.kube.put({...node, status: {conditions: [{type: 'Ready', status: 'Unknown'}]}})
  await scene.play({forMs: 10_000})
  expect(told()).toMatchObject({conditions: [{type: 'Ready', status: 'False', reason: 'NodeNotReady'}]})
  await scene.end()
})

test('an imported checkpoint that is deleted stays in the store, whose it is too', async () => {
  const blobs = memoryBlobs()
  const {digest: blob} = await putBytes(blobs, Buffer.from('sealed'))
  const digest = await blobs.putManifest(manifestOf(blob), 'elsewhere-saved', SIGNAL)
  const scene = sceneWithPod({openStore: () => Promise.resolve(blobs)})
  scene.put('CheckpointStore', 'far', {s3: S3.s3})
  scene.nodes.dead.add('a')
  scene.put('Checkpoint', 'theirs', {import: {digest}, storeName: 'far', podPolicy: 'Resume'})
  const object = scene.object('Checkpoint', 'theirs')
  if (object === undefined) throw new Error('it is gone')
  scene.kube.put({...object, status: {phase: 'Ready', nodeName: 'a', digest}})
  await scene.play({forMs: 10_000})
  await deleteCheckpoint(scene, 'theirs')
  await scene.play({forMs: 60_000})
  expect(scene.object('Checkpoint', 'theirs')).toBeUndefined()
  expect(await blobs.listManifests(SIGNAL)).toHaveLength(1)
})

test('a store is in use from its first stored checkpoint to its last one', async () => {
  const scene = sceneWithPod()
  const inUse = () => (scene.status('CheckpointStore', 'default') as {inUse?: boolean} | undefined)?.inUse
  scene.put('CheckpointStore', 'default', {node: {}})
  scene.put('CheckpointStore', 'other', {node: {}})
  await scene.play({forMs: 10_000})
  expect(inUse()).toBeUndefined()
  scene.put('Checkpoint', 'saved', {podRef: {name: 'web'}, storeName: 'default', podPolicy: 'Resume'})
  await scene.play({until: hasEnded(scene, 'saved')})
  await scene.play({forMs: 10_000})
  expect(inUse()).toBe(true)
  expect(scene.status('CheckpointStore', 'other')).not.toHaveProperty('inUse')
  scene.kube.drop({
    apiVersion: 'clouder.dev/v1alpha1',
    kind: 'Checkpoint',
    name: 'saved',
    namespace: 'default',
  })
  await scene.play({forMs: 10_000})
  expect(inUse()).toBe(false)
  await scene.end()
})
