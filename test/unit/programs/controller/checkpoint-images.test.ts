import {expect, test} from 'vitest'
import {
  API_VERSION,
  BACKEND_LABELS,
  CHECKPOINT_IMAGES_LABEL,
  ORIGINAL_ANNOTATION,
} from '../../../../src/api/names.ts'
import {mergePatch} from '../../../support/fake-kube-json.ts'
import {controllerScene, type ControllerScene, type SceneOptions} from '../../../support/controller-scene.ts'

const IMAGE = `checkpoint.clouder.dev/default/saved/main@sha256:${'ab'.repeat(32)}`
const LABEL = {[CHECKPOINT_IMAGES_LABEL]: 'true'}

/** A checkpoint of a pod on node a; b and c restore from images, and only b is for that. */
async function sceneWithImages(labels: Record<string, string> = LABEL, options: SceneOptions = {}) {
  const scene = controllerScene(options)
  scene.kube.put({apiVersion: 'v1', kind: 'Namespace', metadata: {name: 'default', labels}})
  const pools: Record<string, Record<string, string>> = {a: {}, b: LABEL, c: {}}
  for (const [name, pool] of Object.entries(pools)) {
    scene.nodes.addNode(name)
    const [node] = scene.kube.peek('v1', 'Node').filter(({metadata}) => metadata.name === name)
    if (node === undefined) throw new Error('no node')
    const own = {...node.metadata.labels, ...(name === 'a' ? {} : {[BACKEND_LABELS.CreateImage]: 'true'})}
    scene.kube.put({...node, metadata: {...node.metadata, labels: {...own, ...pool}}})
  }
  const imagePullSecrets = [{name: 'login'}]
  scene.nodes.runPod('web', 'a', 'token', {spec: {imagePullSecrets}})
  scene.put('Checkpoint', 'saved', {podRef: {name: 'web'}, storeName: 'default', podPolicy: 'Resume'})
  await scene.play({until: () => statusOf(scene, 'Checkpoint', 'saved').phase === 'Ready'})
  return scene
}
type Status = {phase?: string; missingImages?: unknown; imagesPulled?: unknown; images?: unknown}
const statusOf = (scene: ControllerScene, kind: 'Checkpoint' | 'Restore', name: string): Status =>
  Object(scene.status(kind, name)) as Status
const restore = (scene: ControllerScene, more: object = {}): void =>
  scene.put('Restore', 'again', {checkpointName: 'saved', podName: 'copy', backend: 'CreateImage', ...more})
const isOver = (scene: ControllerScene) => () =>
  ['Restored', 'Failed'].includes(statusOf(scene, 'Restore', 'again').phase ?? '')

/** What the agent of the node writes down. */
function agentSays(scene: ControllerScene, status: object): void {
  const [object] = scene.kube.peek(API_VERSION, 'Restore')
  if (object === undefined) throw new Error('no restore')
  scene.kube.put({...object, status: mergePatch(object['status'] ?? {}, status)})
}

test('a pod goes on by an image of its checkpoint, on a node for that', async () => {
  const scene = await sceneWithImages()
  restore(scene)
  await scene.play({until: () => statusOf(scene, 'Restore', 'again').phase === 'Preparing'})
  expect(scene.status('Restore', 'again')).toMatchObject({backend: 'CreateImage', nodeName: 'b'})
  agentSays(scene, {images: {main: IMAGE}})
  await scene.play({until: isOver(scene)})
  expect(scene.status('Restore', 'again')).toMatchObject({phase: 'Restored'})
  expect(scene.pod('copy')).toMatchObject({
    metadata: {annotations: {[ORIGINAL_ANNOTATION]: '{"containers":{"main":{"image":"app:1"}}}'}},
    spec: {
      nodeName: 'b',
      nodeSelector: LABEL,
      tolerations: [{key: CHECKPOINT_IMAGES_LABEL, operator: 'Exists'}],
      containers: [{name: 'main', image: IMAGE, imagePullPolicy: 'Never'}],
    },
  })
  expect(scene.pod('copy')?.['spec']).not.toHaveProperty('runtimeClassName')
  await scene.end()
})

test('an image that the node lacks is pulled with the secrets of the pod, before its checkpoint is asked for again', async () => {
  const scene = await sceneWithImages()
  restore(scene)
  await scene.play({until: () => statusOf(scene, 'Restore', 'again').phase === 'Preparing'})
  agentSays(scene, {missingImages: ['app:1']})
  await scene.play({until: () => scene.pod('again-pull') !== undefined})
  expect(scene.pod('again-pull')).toMatchObject({
    spec: {
      nodeName: 'b',
      imagePullSecrets: [{name: 'login'}],
      // What Pod Security `restricted` asks for: nothing of it is to run.
      securityContext: {runAsNonRoot: true, seccompProfile: {type: 'RuntimeDefault'}},
      automountServiceAccountToken: false,
      containers: [
        {
          image: 'app:1',
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: ['ALL']}},
        },
      ],
    },
  })
  await scene.play({until: () => statusOf(scene, 'Restore', 'again').imagesPulled === true})
  expect(statusOf(scene, 'Restore', 'again').missingImages ?? undefined).toBeUndefined()
  await scene.play({forMs: 5000})
  expect(scene.pod('again-pull')).toBeUndefined()
  await scene.end()
})

test('an image that cannot be pulled is why a restore fails', async () => {
  const scene = await sceneWithImages()
  restore(scene)
  await scene.play({until: () => statusOf(scene, 'Restore', 'again').phase === 'Preparing'})
  scene.nodes.dead.add('b')
  agentSays(scene, {missingImages: ['app:1']})
  await scene.play({until: () => scene.pod('again-pull') !== undefined})
  const pod = scene.pod('again-pull')
  if (pod === undefined) throw new Error('no pod')
  const waiting = {reason: 'ErrImagePull', message: 'app:1: not found'}
  scene.kube.put({
    ...pod,
    status: {phase: 'Pending', containerStatuses: [{name: 'image-0', state: {waiting}}]},
  })
  await scene.play({until: isOver(scene)})
  expect(scene.status('Restore', 'again')).toMatchObject({
    phase: 'Failed',
    reason: 'IMAGE_UNAVAILABLE',
    message: 'app:1: not found',
  })
  await scene.end()
})

test('a pod that would pull and that the API server refuses is why a restore fails', async () => {
  const scene = await sceneWithImages(LABEL, {
    refuse: ({metadata}) => (metadata.name === 'again-pull' ? 'exceeded quota: pods=0' : undefined),
  })
  restore(scene)
  await scene.play({until: () => statusOf(scene, 'Restore', 'again').phase === 'Preparing'})
  agentSays(scene, {missingImages: ['app:1']})
  await scene.play({until: isOver(scene)})
  expect(scene.status('Restore', 'again')).toMatchObject({
    phase: 'Failed',
    reason: 'IMAGE_UNAVAILABLE',
    message: expect.stringContaining('exceeded quota') as string,
  })
  await scene.end()
})

test.for([
  [
    'in a namespace that says that it is not',
    {[CHECKPOINT_IMAGES_LABEL]: 'false'},
    {},
    /namespace default does not allow checkpoint images/,
  ],
  ['in a namespace that is not for it', {}, {}, /namespace default does not allow checkpoint images/],
  ['on a node that is not for it', LABEL, {nodeName: 'c'}, /c: it does not accept checkpoint images/],
] as const)('nothing goes on by images %s', async ([, labels, spec, words]) => {
  const scene = await sceneWithImages(labels)
  restore(scene, spec)
  await scene.play({until: isOver(scene)})
  expect(scene.status('Restore', 'again')).toMatchObject({
    phase: 'Failed',
    reason: 'RESTORE_UNSUPPORTED',
    message: expect.stringMatching(words) as string,
  })
  await scene.end()
})
