import {expect, test} from 'vitest'
import {RESTORE_ANNOTATION, RESTORE_LABEL} from '../../../../src/api/names.ts'
import {restoreReconciler} from '../../../../src/programs/controller/restore.ts'
import {KubernetesError} from '../../../../src/kubernetes/errors.ts'
import {controllerScene, type ControllerScene} from '../../../support/controller-scene.ts'

const MEMORY = 'token 1234'

/** A pod on node a, and a Checkpoint of it. */
async function sceneWithCheckpoint(podPolicy = 'Resume') {
  const scene = controllerScene()
  scene.nodes.addNode('a')
  scene.nodes.addNode('b')
  scene.nodes.runPod('web', 'a', MEMORY, {metadata: {labels: {app: 'web', 'pod-template-hash': '77'}}})
  scene.put('Checkpoint', 'saved', {podRef: {name: 'web'}, storeName: 'default', podPolicy})
  await scene.play({until: () => phaseOf(scene, 'Checkpoint', 'saved') === 'Ready'})
  return scene
}
const phaseOf = (scene: ControllerScene, kind: 'Checkpoint' | 'Restore', name: string) =>
  (scene.status(kind, name) as {phase?: string} | undefined)?.phase
const isOver = (scene: ControllerScene) => () =>
  ['Restored', 'Failed'].includes(phaseOf(scene, 'Restore', 'again') ?? '')

test('a second pod goes on from a checkpoint, without the labels by which a controller would take it', async () => {
  const scene = await sceneWithCheckpoint()
  scene.put('Restore', 'again', {checkpointName: 'saved', podName: 'copy', nodeName: 'b'})
  await scene.play({until: isOver(scene)})
  expect(scene.status('Restore', 'again')).toMatchObject({
    phase: 'Restored',
    backend: 'Handler',
    nodeName: 'b',
  })
  expect(scene.pod('copy')).toMatchObject({
    metadata: {labels: {app: 'web', [RESTORE_LABEL]: 'again'}, annotations: {[RESTORE_ANNOTATION]: 'saved'}},
    spec: {nodeName: 'b', runtimeClassName: 'clouder-restore'},
  })
  expect(scene.pod('copy')?.metadata.labels).not.toHaveProperty('pod-template-hash')
  expect(scene.nodes.memoryOf('copy')).toBe(MEMORY)
  await scene.end()
})

const controllerOfPods = (kind: string, name: string, selector: object) => ({
  ...{apiVersion: kind === 'ReplicationController' ? 'v1' : 'apps/v1', kind},
  ...{metadata: {name, namespace: 'default'}, spec: {selector}},
})

test.for([
  ['ReplicaSet', 'web', {matchLabels: {app: 'web'}}],
  ['ReplicaSet', 'web', {matchExpressions: [{key: 'app', operator: 'Exists'}]}],
  ['ReplicationController', 'web', {app: 'web'}],
  ['DaemonSet', 'web', {matchLabels: {app: 'web'}}],
  ['StatefulSet', 'copy', {matchLabels: {app: 'web'}}],
] as const)('a pod that %s %s would adopt, and delete, is not made: %o', async ([kind, name, selector]) => {
  const scene = await sceneWithCheckpoint()
  scene.kube.put(controllerOfPods(kind, name, selector))
  scene.put('Restore', 'again', {checkpointName: 'saved', podName: 'copy-7'})
  await scene.play({until: isOver(scene)})
  expect(scene.status('Restore', 'again')).toMatchObject({
    phase: 'Failed',
    reason: 'RESTORE_FAILED',
    message: expect.stringContaining(`${kind} ${name} selects the labels of pod copy-7`) as string,
  })
  expect(scene.pod('copy-7')).toBeUndefined()
  await scene.end()
})

test.for([
  ['ReplicaSet', 'web', {matchLabels: {app: 'web', 'pod-template-hash': '77'}}],
  ['ReplicaSet', 'api', {matchLabels: {app: 'api'}}],
  ['StatefulSet', 'web', {matchLabels: {app: 'web'}}],
] as const)('a pod that %s %s does not adopt is made: %o', async ([kind, name, selector]) => {
  const scene = await sceneWithCheckpoint()
  scene.kube.put(controllerOfPods(kind, name, selector))
  scene.put('Restore', 'again', {checkpointName: 'saved', podName: 'copy'})
  await scene.play({until: isOver(scene)})
  expect(scene.status('Restore', 'again')).toMatchObject({phase: 'Restored'})
  await scene.end()
})

/** The API server refuses pods as Pod Security does, or a quota. */
function refusePods(scene: ControllerScene, words: string): () => void {
  const create = scene.kube.create.bind(scene.kube)
  scene.kube.create = (object) =>
    object.kind === 'Pod'
      ? Promise.reject(
          new KubernetesError('API_REJECTED', words, {answer: {status: 403, reason: 'Forbidden'}}),
        )
      : create(object)
  return () => void (scene.kube.create = create)
}

test('a restore whose pod the API server refuses says so at once, and fails when that stays so', async () => {
  const scene = await sceneWithCheckpoint()
  refusePods(scene, 'violates PodSecurity "restricted:latest"')
  scene.put('Restore', 'again', {checkpointName: 'saved', podName: 'copy'})
  await scene.play({forMs: 10_000})
  expect(scene.status('Restore', 'again')).toMatchObject({
    phase: 'Preparing',
    message: 'retrying: violates PodSecurity "restricted:latest"',
  })
  await scene.play({until: isOver(scene)})
  expect(scene.status('Restore', 'again')).toMatchObject({
    phase: 'Failed',
    reason: 'API_REJECTED',
    message: 'violates PodSecurity "restricted:latest"',
  })
  await scene.end()
})

test('a restore goes on when a quota has room again', async () => {
  const scene = await sceneWithCheckpoint()
  const allow = refusePods(scene, 'exceeded quota')
  scene.put('Restore', 'again', {checkpointName: 'saved', podName: 'copy'})
  await scene.play({forMs: 10_000})
  allow()
  await scene.play({until: isOver(scene)})
  expect(scene.status('Restore', 'again')).toMatchObject({phase: 'Restored'})
  await scene.end()
})

test('a checkpoint that is known not to come back is refused before a pod is made, with the reason', async () => {
  const message = '/logs/app.log on emptyDir volume logs'
  const scene = controllerScene()
  scene.nodes.addNode('a')
  scene.nodes.runPod('web', 'a', MEMORY)
  scene.nodes.obstacles.set('web', [{verdict: 'Impossible', container: 'main', source: 'EmptyDir', message}])
  scene.put('Checkpoint', 'saved', {podRef: {name: 'web'}, storeName: 'default', podPolicy: 'Resume'})
  scene.put('Restore', 'again', {checkpointName: 'saved', podName: 'copy'})
  await scene.play({until: isOver(scene)})
  expect(scene.status('Restore', 'again')).toMatchObject({
    phase: 'Failed',
    reason: 'RESTORE_IMPOSSIBLE',
    message: expect.stringContaining(message) as string,
  })
  expect(scene.pod('copy')).toBeUndefined()
  await scene.end()
})

test('a Restore that comes before its checkpoint is ready waits for it, and for the pod that makes way', async () => {
  const scene = controllerScene()
  scene.nodes.addNode('a')
  scene.nodes.runPod('web', 'a', MEMORY)
  scene.put('Checkpoint', 'saved', {podRef: {name: 'web'}, storeName: 'default', podPolicy: 'Delete'})
  scene.put('Restore', 'again', {checkpointName: 'saved'})
  await scene.play({until: isOver(scene)})
  expect(scene.status('Restore', 'again')).toMatchObject({phase: 'Restored'})
  expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
  await scene.end()
})

test('a pod that bears the name already is not touched', async () => {
  const scene = await sceneWithCheckpoint()
  scene.put('Restore', 'again', {checkpointName: 'saved'})
  await scene.play({until: isOver(scene)})
  expect(scene.status('Restore', 'again')).toMatchObject({phase: 'Failed', reason: 'RESTORE_FAILED'})
  expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
  await scene.end()
})

test.for([
  [
    'there is no such checkpoint',
    {checkpointName: 'absent'},
    'CHECKPOINT_UNKNOWN',
    /checkpoint absent not found/,
  ],
  [
    'the node is unknown',
    {checkpointName: 'saved', nodeName: 'zz'},
    'RESTORE_UNSUPPORTED',
    /zz: the node does not exist/,
  ],
  [
    'no node offers the backend',
    {checkpointName: 'saved', backend: 'Native'},
    'RESTORE_UNSUPPORTED',
    /a: its runtime supports the backend Handler, not Native/,
  ],
] as const)('a Restore fails when %s', async ([, spec, reason, words]) => {
  const scene = await sceneWithCheckpoint()
  scene.put('Restore', 'again', spec)
  await scene.play({until: isOver(scene)})
  expect(scene.status('Restore', 'again')).toMatchObject({
    phase: 'Failed',
    reason,
    message: expect.stringMatching(words) as string,
  })
  await scene.end()
})

test('a node of another architecture is refused as unlike, before anything is made', async () => {
  const scene = await sceneWithCheckpoint()
  scene.nodes.addNode('other', {arch: 'arm64'})
  scene.put('Restore', 'again', {checkpointName: 'saved', podName: 'copy', nodeName: 'other'})
  await scene.play({until: isOver(scene)})
  expect(scene.status('Restore', 'again')).toMatchObject({
    phase: 'Failed',
    reason: 'NODE_UNLIKE',
    message: 'no node can run the pod: other: its architecture is arm64, but the checkpoint is for amd64',
  })
  expect(scene.pod('copy')).toBeUndefined()
  await scene.end()
})

test('what the runtime refuses is told, and the pod that could not go on is taken away', async () => {
  const scene = await sceneWithCheckpoint()
  scene.nodes.refusals.set('b', 'clouder restore: PRIVILEGES_WIDER: CAP_SYS_ADMIN')
  scene.put('Restore', 'again', {checkpointName: 'saved', podName: 'copy', nodeName: 'b'})
  await scene.play({until: isOver(scene)})
  expect(scene.status('Restore', 'again')).toMatchObject({
    phase: 'Failed',
    reason: 'PRIVILEGES_WIDER',
    message: expect.stringContaining('CAP_SYS_ADMIN') as string,
  })
  await scene.play({forMs: 60_000})
  expect(scene.pod('copy')).toBeUndefined()
  await scene.end()
})

test('an image that the node cannot fetch ends the restore at once, as what it is', async () => {
  const scene = await sceneWithCheckpoint()
  scene.put('Restore', 'again', {checkpointName: 'saved', podName: 'copy', nodeName: 'b'})
  await scene.play({until: () => phaseOf(scene, 'Restore', 'again') === 'Starting'})
  const pod = scene.pod('copy')
  if (pod === undefined) throw new Error('no pod')
  const waiting = {reason: 'ImagePullBackOff', message: 'Back-off pulling image "gone.example.com/web:1"'}
  const containerStatuses = [{name: 'main', restartCount: 0, state: {waiting}}]
  scene.kube.put({
    ...pod,
    spec: {nodeName: 'b', ...Object(pod['spec'])},
    status: {phase: 'Pending', containerStatuses},
  })
  await scene.play({until: isOver(scene)})
  expect(scene.status('Restore', 'again')).toMatchObject({
    phase: 'Failed',
    reason: 'IMAGE_UNAVAILABLE',
    message: expect.stringContaining('gone.example.com/web:1') as string,
  })
  await scene.end()
})

test('a container that went on and ended has begun anew: that is no restore', async () => {
  const scene = await sceneWithCheckpoint()
  scene.put('Restore', 'again', {checkpointName: 'saved', podName: 'copy', nodeName: 'b'})
  await scene.play({until: () => phaseOf(scene, 'Restore', 'again') === 'Starting'})
  const pod = scene.pod('copy')
  if (pod === undefined) throw new Error('no pod')
  const ended = {terminated: {reason: 'Error', exitCode: 139}}
  const containerStatuses = [{name: 'main', restartCount: 1, state: {running: {}}, lastState: ended}]
  const conditions = [{type: 'Ready', status: 'True'}]
  scene.kube.put({
    ...pod,
    spec: {nodeName: 'b', ...Object(pod['spec'])},
    status: {phase: 'Running', conditions, containerStatuses},
  })
  await scene.play({until: isOver(scene)})
  expect(scene.status('Restore', 'again')).toMatchObject({
    phase: 'Failed',
    reason: 'RESTORE_FAILED',
    message: expect.stringContaining('exited with exit code 139') as string,
  })
  await scene.end()
})

test('a pod that has come to run is not deleted for what was heard of it before', async () => {
  const scene = await sceneWithCheckpoint()
  scene.put('Restore', 'again', {checkpointName: 'saved', podName: 'copy'})
  await scene.play({until: () => phaseOf(scene, 'Restore', 'again') === 'Starting'})
  const heard = [scene.object('Restore', 'again'), scene.object('Checkpoint', 'saved'), scene.pod('copy')]
  await scene.play({until: isOver(scene)})
  scene.clock.advance(11 * 60_000)
  const [restore, ...others] = heard.filter((object) => object !== undefined)
  if (restore === undefined || others.length !== 2) throw new Error('nothing was heard')
  await restoreReconciler.reconcile(restore, scene.heard(...others))
  expect(scene.status('Restore', 'again')).toMatchObject({phase: 'Restored'})
  expect(scene.pod('copy')?.metadata.deletionTimestamp).toBeUndefined()
  expect(scene.pod('copy')).toBeDefined()
  await scene.end()
})
