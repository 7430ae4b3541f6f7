import {expect, test} from 'vitest'
import {API_VERSION, CHECKPOINT_IMAGE_PREFIX} from '../../../../src/api/names.ts'
import {CheckpointError} from '../../../../src/checkpoint/errors.ts'
import type {ObjectRef} from '../../../../src/kubernetes/types.ts'
import {checkpointImages, makeImages} from '../../../../src/programs/node-agent/create-image.ts'
import {checkpointRef} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {parsePod} from '../../../../src/kubernetes/pod.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import {mergePatch} from '../../../support/fake-kube-json.ts'
import {FakeNode, Life, NODE, POD} from '../../../support/fake-node.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const NAME = {namespace: POD.namespace, name: 'nightly'}
const RESTORE = {apiVersion: API_VERSION, kind: 'Restore', namespace: NAME.namespace, name: 'again'} as const
const OWN_IMAGE = `sha256:${'ad'.repeat(32)}`
const IMAGE = new RegExp(`^${CHECKPOINT_IMAGE_PREFIX}default/nightly/smoke@sha256:[0-9a-f]{64}$`)

interface Bench {
  readonly node: FakeNode
  /** Images of the runtime. */
  readonly there: Set<string>
  /** What the runtime knows the base image by. */
  digests: readonly string[]
  cpuFeatures: readonly string[]
  away: boolean
  nowMs: number
  /** Has the agent look at the Restore; gives its status. */
  readonly make: (restore?: ObjectRef) => Promise<unknown>
  /** While the runtime takes an image. */
  onImport: () => Promise<void>
  readonly removeUnused: (images?: readonly string[]) => Promise<void>
}

async function withBench(use: (bench: Bench) => Promise<void>): Promise<void> {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    node.ask(NAME.name, {})
    const there = new Set(['clouder.dev/smoke:1'])
    const lived = node.tools(new Life(), new AbortController().signal)
    await reconcileCheckpoint(NAME, lived)
    node.kube.put({
      ...RESTORE,
      metadata: {name: RESTORE.name, namespace: RESTORE.namespace},
      spec: {checkpointName: NAME.name},
      status: {
        phase: 'Preparing',
        backend: 'CreateImage',
        nodeName: NODE,
        startTime: new Date(0).toISOString(),
      },
    })
    const tools = {
      ...lived,
      nodeFeatures: async () => ({...(await lived.nodeFeatures()), cpuFeatures: [...bench.cpuFeatures]}),
      now: () => bench.nowMs,
      stores: {
        open: (...given: Parameters<typeof lived.stores.open>) =>
          bench.away
            ? Promise.reject(new CheckpointError('STORE_UNREACHABLE', 'its node has no agent'))
            : lived.stores.open(...given),
      },
      imageDigests: () => Promise.resolve(bench.digests),
      listImages: () => Promise.resolve([...there]),
      importImage: async (
        {repository, digest}: {repository: string; digest: string},
        layout: AsyncIterable<Uint8Array>,
      ) => {
        for await (const _part of layout);
        there.add(`${repository}@${digest}`)
        await bench.onImport()
      },
      removeImage: (name: string) => {
        there.delete(name)
        return Promise.resolve()
      },
    }
    const images = checkpointImages(tools)
    const get = async (ref: ObjectRef) => {
      const object = await node.kube.get(ref)
      if (object === undefined) throw new Error('no restore')
      return object
    }
    const bench: Bench = {
      node,
      there,
      digests: [OWN_IMAGE],
      away: false,
      nowMs: 0,
      cpuFeatures: (await lived.nodeFeatures()).cpuFeatures,
      onImport: () => Promise.resolve(),
      make: async (restore = RESTORE) => {
        await makeImages(await get(restore), {...tools, checkpointImages: images})
        return (await get(restore))['status']
      },
      removeUnused: (used = []) => images.removeUnused(() => used.map(podWith)),
    }
    await use(bench)
  })
}

const podWith = (image: string) =>
  parsePod({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name: 'again', namespace: POD.namespace, uid: 'u'},
    spec: {containers: [{name: 'smoke', image}]},
  })

test('an image is made for a Restore, and goes when nobody names it any more', async () => {
  await withBench(async ({node, there, make, removeUnused}) => {
    expect(await make()).toMatchObject({images: {smoke: expect.stringMatching(IMAGE) as string}})
    const made = [...there].find((name) => IMAGE.test(name)) ?? ''
    expect(there.size).toBe(2)
    await removeUnused()
    expect(there, 'the Restore still needs it').toContain(made)
    await node.kube.patch(RESTORE, {status: {phase: 'Restored'}}, {subresource: 'status'})
    await removeUnused([made])
    expect(there, 'a pod runs with it').toContain(made)
    await removeUnused()
    expect([...there]).toEqual(['clouder.dev/smoke:1'])
  })
})

test('a store that is away for a moment is asked again, and told when it stays away', async () => {
  await withBench(async (bench) => {
    bench.away = true
    await expect(bench.make()).rejects.toMatchObject({code: 'STORE_UNREACHABLE'})
    bench.nowMs += 61_000
    expect(await bench.make()).toMatchObject({phase: 'Failed', reason: 'STORE_UNREACHABLE'})
  })
})

test('an absent base image is asked for once', async () => {
  await withBench(async (bench) => {
    bench.digests = []
    expect(await bench.make()).toMatchObject({phase: 'Preparing', missingImages: ['clouder.dev/smoke:1']})
    const restore = await bench.node.kube.get(RESTORE)
    if (restore === undefined) throw new Error('no restore')
    const status = mergePatch(restore['status'] ?? {}, {missingImages: null, imagesPulled: true})
    bench.node.kube.put({...restore, status})
    expect(await bench.make()).toMatchObject({phase: 'Failed', reason: 'IMAGE_UNAVAILABLE'})
  })
})

test('no image is made of what was made in another namespace', async () => {
  await withBench(async ({node, there, make}) => {
    const namespace = 'other'
    node.kube.put({apiVersion: 'v1', kind: 'Namespace', metadata: {name: namespace}})
    for (const ref of [checkpointRef(NAME), RESTORE]) {
      const object = await node.kube.get(ref)
      if (object === undefined) throw new Error(`there is no ${ref.kind}`)
      node.kube.put({...object, metadata: {name: object.metadata.name, namespace}})
    }
    expect(await make({...RESTORE, namespace})).toMatchObject({
      phase: 'Failed',
      reason: 'CHECKPOINT_UNKNOWN',
      message: expect.stringContaining(`was created in namespace ${NAME.namespace}, not in other`) as string,
    })
    expect(there.size).toBe(1)
  })
})

test('what was made for a Restore is not told one of the same name that came meanwhile', async () => {
  await withBench(async (bench) => {
    const {kube} = bench.node
    bench.onImport = async () => {
      const before = await kube.get(RESTORE)
      if (before === undefined) throw new Error('no restore')
      kube.drop(RESTORE)
      kube.put({...before, metadata: {name: RESTORE.name, namespace: RESTORE.namespace}})
    }
    expect(await bench.make()).not.toHaveProperty('images')
  })
})

test.for<[string, string, RegExp, (bench: Bench) => Promise<void> | void]>([
  [
    'the base image is another one',
    'IMAGE_UNAVAILABLE',
    /the checkpoint was created from/,
    (bench) => {
      bench.digests = [`sha256:${'ee'.repeat(32)}`]
    },
  ],
  [
    'the CPU lacks what was there',
    'NODE_UNLIKE',
    /lacks/,
    (bench) => {
      bench.cpuFeatures = []
    },
  ],
  [
    'the processes may do more than the pod',
    'PRIVILEGES_WIDER',
    /may gain privileges/,
    async ({node: {kube}}) => {
      const container = {name: 'smoke', securityContext: {allowPrivilegeEscalation: false}}
      await kube.patch(
        checkpointRef(NAME),
        {status: {podTemplate: {spec: {containers: [container]}}}},
        {subresource: 'status'},
      )
    },
  ],
  [
    'there is no such checkpoint',
    'CHECKPOINT_UNKNOWN',
    /nightly is not Ready/,
    ({node: {kube}}) => kube.drop(checkpointRef(NAME)),
  ],
])('no image is made when %s', async ([, reason, words, before]) => {
  await withBench(async (bench) => {
    await before(bench)
    expect(await bench.make()).toMatchObject({
      phase: 'Failed',
      reason,
      message: expect.stringMatching(words) as string,
    })
    expect(bench.there.size).toBe(1)
  })
})
