import {expect, test} from 'vitest'
import {API_VERSION, CHECKPOINT_IMAGE_PREFIX, ORIGINAL_ANNOTATION} from '../../../../src/api/names.ts'
import {kubeObjectSchema} from '../../../../src/kubernetes/types.ts'
import {admitMove, reportMissingImages} from '../../../../src/programs/node-agent/migration-target.ts'
import {checkpointImages} from '../../../../src/programs/node-agent/create-image.ts'
import {digestSchema} from '../../../../src/api/sealed-checkpoint.ts'
import {checkpointRef} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {parsePod, podRef, type Pod} from '../../../../src/kubernetes/pod.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import type {AgentTools} from '../../../../src/programs/node-agent/tools.ts'
import {image} from '../../../support/criu-images.ts'
import {metadataOf} from '../../../support/sealed-checkpoint.ts'
import {FakeNode, Life, NODE, POD} from '../../../support/fake-node.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const NAME = {namespace: POD.namespace, name: 'move-web'}
const MOVE = {apiVersion: API_VERSION, kind: 'Migration', namespace: POD.namespace, name: 'web'} as const
const OWN_IMAGE = `sha256:${'ad'.repeat(32)}`

const HOLDS_THREE_FILES = {
  'checkpoint/pstree.img': image(0x50273030, [[1, 1]]),
  'checkpoint/ids-1.img': image(0x54432030, [[2, 5]]),
  'checkpoint/fdinfo-5.img': image(0x56213732, [[4, 0]], [[4, 1]], [[4, 2]]),
}

/** What the agent says of a move to its node of a checkpoint that is Ready. */
async function answerTo(
  before: (node: FakeNode) => void,
  tools: Partial<AgentTools> = {},
  status: object = {},
  dumped: (node: FakeNode) => void = () => undefined,
): Promise<unknown> {
  let answer: unknown
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    dumped(node)
    node.ask(NAME.name, {})
    const lived = node.tools(new Life(), new AbortController().signal)
    await reconcileCheckpoint(NAME, lived)
    node.kube.put({
      ...MOVE,
      metadata: {name: MOVE.name, namespace: MOVE.namespace},
      spec: {podName: POD.name, storeName: 'default'},
      status: {phase: 'Preparing', targetNodeName: NODE, checkpointName: NAME.name, ...status},
    })
    before(node)
    const move = await node.kube.get(MOVE)
    if (move === undefined) throw new Error('no migration')
    const own = {...lived, imageDigests: () => Promise.resolve([OWN_IMAGE]), ...tools}
    await admitMove(move, {...own, checkpointImages: checkpointImages(own)})
    const after = (await node.kube.get(MOVE))?.['status']
    answer = Object(after)
  })
  return answer
}

test('the target says that it can take a pod whose checkpoint it opened and whose image it has', async () => {
  expect(await answerTo(() => undefined)).toMatchObject({phase: 'Preparing', targetAnswer: {ok: true}})
})

test.for<[string, string, (node: FakeNode) => void, Partial<AgentTools>]>([
  [
    'its image is another one',
    'IMAGE_UNAVAILABLE',
    () => undefined,
    {imageDigests: () => Promise.resolve([`sha256:${'ee'.repeat(32)}`])},
  ],
  [
    'its image is not known there',
    'IMAGE_UNAVAILABLE',
    () => undefined,
    {imageDigests: () => Promise.resolve([])},
  ],
  [
    'the checkpoint is gone',
    'CHECKPOINT_UNKNOWN',
    ({kube}) => {
      kube.drop(checkpointRef(NAME))
    },
    {},
  ],
  [
    'what is stored was tampered with',
    'BLOB_TAMPERED',
    ({blobs}) => {
      for (const key of blobs.objects.keys())
        if (key.startsWith('blobs/sha256/'))
          blobs.tamper(digestSchema.parse(`sha256:${key.slice('blobs/sha256/'.length)}`))
    },
    {},
  ],
  ['it has no room for it', 'RESTORE_IMPOSSIBLE', () => undefined, {freeBytes: () => Promise.resolve(1024)}],
  [
    'its CPU lacks what the processes may have come to use',
    'NODE_UNLIKE',
    () => undefined,
    {nodeFeatures: () => Promise.resolve({...metadataOf([]).source, cpuFeatures: []})},
  ],
])('the target says that it cannot take a pod when %s', async ([, reason, before, tools]) => {
  expect(await answerTo(before, tools)).toMatchObject({
    targetAnswer: {ok: false, reason, message: expect.any(String) as string},
  })
})

test('the target says before the source goes that its limits are below what the processes have in use', async () => {
  const limits = (files: number): AgentTools['limits'] => ({
    ofSandbox: () => Promise.reject(new Error('there is none yet')),
    own: () => Promise.resolve(new Map([['RLIMIT_NOFILE', files]])),
  })
  const files = (node: FakeNode) => (node.members = HOLDS_THREE_FILES)
  expect(await answerTo(() => undefined, {limits: limits(2)}, {}, files)).toMatchObject({
    targetAnswer: {
      ok: false,
      reason: 'PRIVILEGES_WIDER',
      message: expect.stringContaining('3 files open') as string,
    },
  })
  expect(await answerTo(() => undefined, {limits: limits(3)}, {}, files)).toMatchObject({
    targetAnswer: {ok: true},
  })
})

test('room is wanted for what is unpacked, and once more for the files that the container changed', async () => {
  const answer = async (freeBytes: number, filesBytes: number): Promise<unknown> =>
    answerTo(
      ({kube}) => {
        const [checkpoint] = kube.peek(API_VERSION, 'Checkpoint')
        if (checkpoint === undefined) throw new Error('no checkpoint')
        const summary = {containers: [{name: 'smoke', filesBytes, processes: []}]}
        kube.put({...checkpoint, status: {...Object(checkpoint['status']), summary}})
      },
      {freeBytes: () => Promise.resolve(freeBytes)},
    )
  const ok = {targetAnswer: {ok: true}}
  expect(await answer(2 ** 20, 0)).toMatchObject(ok)
  expect(await answer(2 ** 20, 2 ** 20)).toMatchObject({
    targetAnswer: {ok: false, reason: 'RESTORE_IMPOSSIBLE'},
  })
  expect(await answer(2 ** 21, 2 ** 20)).toMatchObject(ok)
})

test('what is said of a move is not said of another one of its name that came meanwhile', async () => {
  let again = (): void => undefined
  const answer = await answerTo(
    ({kube}) => {
      again = () => {
        const [before] = kube.peek(API_VERSION, 'Migration')
        if (before === undefined) throw new Error('no migration')
        kube.drop(MOVE)
        kube.put({...before, metadata: {name: MOVE.name, namespace: MOVE.namespace}})
      }
    },
    {
      freeBytes: () => {
        again()
        return Promise.resolve(2 ** 40)
      },
    },
  )
  expect(answer).not.toHaveProperty('targetAnswer')
})

test.for([
  ['of another node', {targetNodeName: 'elsewhere'}],
  ['that is further already', {phase: 'Moving'}],
] as const)('nothing is said of a move %s', async ([, status]) => {
  expect(await answerTo(() => undefined, {}, status)).not.toHaveProperty('targetAnswer')
})

/** What the agent says of the images of a pod before it is dumped. */
async function absentOf(digests: readonly string[], change: (pod: Pod) => object): Promise<unknown> {
  let said: unknown
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    const tools = node.tools(new Life(), new AbortController().signal)
    const found = await node.kube.get(podRef(POD.namespace, POD.name))
    if (found === undefined) throw new Error('no pod')
    node.kube.put(kubeObjectSchema.parse({...found, ...change(parsePod(found))}))
    node.kube.put({
      ...MOVE,
      metadata: {name: MOVE.name, namespace: MOVE.namespace},
      spec: {podName: POD.name, storeName: 'default'},
      status: {phase: 'Pending', targetNodeName: NODE},
    })
    const move = await node.kube.get(MOVE)
    if (move === undefined) throw new Error('no migration')
    await reportMissingImages(move, {...tools, imageDigests: () => Promise.resolve([...digests])})
    said = Object((await node.kube.get(MOVE))?.['status'])
  })
  return said
}

const withImage = ({spec}: Pod, image: string): object => ({
  spec: {...spec, containers: spec.containers.map((container) => ({...container, image}))},
})

test.for([
  ['lacks them', [], ['registry.example.com/web:1']],
  ['has them', [OWN_IMAGE], []],
] as const)('a target says of images, before the pod is dumped, that it %s', async ([, digests, absent]) => {
  const pod = (found: Pod): object => withImage(found, 'registry.example.com/web:1')
  expect(await absentOf(digests, pod)).toMatchObject({missingImages: absent})
})

test('of a pod that came by an image of its checkpoint, the images that it had before are looked for', async () => {
  const said = await absentOf([], (pod) => {
    const image = 'registry.example.com/web:1'
    const original = {containers: Object.fromEntries(pod.spec.containers.map(({name}) => [name, {image}]))}
    const annotations = {[ORIGINAL_ANNOTATION]: JSON.stringify(original)}
    const made = withImage(pod, `${CHECKPOINT_IMAGE_PREFIX}work/c/main@${OWN_IMAGE}`)
    return {...made, metadata: {...pod.metadata, annotations}}
  })
  expect(said).toMatchObject({missingImages: ['registry.example.com/web:1']})
})
