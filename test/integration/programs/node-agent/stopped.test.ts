import {expect, test} from 'vitest'
import {API_VERSION, CHECKPOINT_FINALIZER} from '../../../../src/api/names.ts'
import {checkpointStatusSchema} from '../../../../src/api/resources.ts'
import {CheckpointError} from '../../../../src/checkpoint/errors.ts'
import {KubernetesError} from '../../../../src/kubernetes/errors.ts'
import {checkpointRef, parseCheckpoint} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {podRef} from '../../../../src/kubernetes/pod.ts'
import {abandon, reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import type {AgentTools} from '../../../../src/programs/node-agent/tools.ts'
import {FakeNode, Life, NODE, POD} from '../../../support/fake-node.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const {signal} = new AbortController()
const NAME = {namespace: POD.namespace, name: 'nightly'}
const HOOK = {container: 'smoke', command: ['true']}

interface Bench {
  readonly node: FakeNode
  readonly tools: AgentTools
  /** Asks for a checkpoint of the pod, and has the agent see to it. */
  readonly take: (spec: object, tools?: Partial<AgentTools>) => Promise<void>
  readonly status: () => Promise<ReturnType<typeof checkpointStatusSchema.parse>>
  /** Puts a checkpoint there that was begun before. */
  readonly begun: (status: object, spec?: object) => Promise<void>
}

async function withPod(use: (bench: Bench) => Promise<void>): Promise<void> {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    const tools = node.tools(new Life(), signal)
    await use({
      node,
      tools,
      take: async (spec, more = {}) => {
        node.ask(NAME.name, {...spec})
        await reconcileCheckpoint(NAME, {...tools, ...more})
      },
      status: async () =>
        checkpointStatusSchema.parse((await node.kube.get(checkpointRef(NAME)))?.['status'] ?? {}),
      begun: async (status, spec = {}) => {
        const podUID = (await node.kube.get(podRef(POD.namespace, POD.name)))?.metadata.uid
        node.kube.put({
          apiVersion: API_VERSION,
          kind: 'Checkpoint',
          metadata: {...NAME},
          spec: {podRef: {name: POD.name}, storeName: 'default', podPolicy: 'Freeze', ...spec},
          status: {nodeName: NODE, podUID, ...status},
        })
        node.processes.podFrozen = true
      },
    })
  })
}

test('a pod whose dump is to be tried again runs on until then, and nothing of the dump is left', async () => {
  await withPod(async ({node, take}) => {
    node.dumpProblem = new KubernetesError('API_UNAVAILABLE', 'etcdserver: leader changed')
    let cleaned = 0
    const dumps: AgentTools['dumps'] = {
      during: (dump) => dump(),
      clean: () => {
        cleaned += 1
        return Promise.resolve()
      },
    }
    await expect(take({podPolicy: 'Freeze'}, {dumps})).rejects.toMatchObject({code: 'API_UNAVAILABLE'})
    expect([node.runs, cleaned]).toEqual([true, 1])
  })
})

test('what the controller ended while it was dumped stays ended, and its pod goes on', async () => {
  await withPod(async ({node, tools, take, status}) => {
    const checkpoint: AgentTools['checkpoint'] = async (...given) => {
      await tools.checkpoint(...given)
      await node.kube.patch(
        checkpointRef(NAME),
        {status: {phase: 'Failed', reason: 'ENDED'}},
        {subresource: 'status'},
      )
    }
    await take({podPolicy: 'Freeze'}, {checkpoint})
    expect(await status()).toMatchObject({phase: 'Failed', reason: 'ENDED'})
    expect(node.runs).toBe(true)
  })
})

test('a pod is not deleted for a checkpoint that failed', async () => {
  await withPod(async ({node, tools, begun}) => {
    await begun({phase: 'Failed', frozen: true}, {podPolicy: 'Delete'})
    await reconcileCheckpoint(NAME, tools)
    const pod = await node.kube.get(podRef(POD.namespace, POD.name))
    expect([node.processes.alive, pod?.metadata.deletionTimestamp]).toEqual([true, undefined])
  })
})

test.for([
  ['Dumping', {}],
  ['Storing', {frozen: true}],
  ['Ready', {frozen: true}],
] as const)('a pod that stands still for a checkpoint that is gone goes on: %s', async ([phase, more]) => {
  await withPod(async ({node, tools, begun}) => {
    await begun({phase, ...more})
    const object = await node.kube.get(checkpointRef(NAME))
    if (object === undefined) throw new Error('no checkpoint')
    node.kube.drop(checkpointRef(NAME))
    await abandon(parseCheckpoint(object), tools)
    expect(node.runs).toBe(true)
  })
})

const moveIn = (phase: string) => ({
  ...{apiVersion: API_VERSION, kind: 'Migration', metadata: {name: 'move', namespace: NAME.namespace}},
  ...{
    spec: {podName: POD.name},
    status: {phase, checkpointName: NAME.name, moveTime: '2026-01-01T00:00:00Z'},
  },
})

test.for([
  ['Succeeded', 'is ended', {alive: false, ranAfterDump: false}],
  ['RolledBack', 'resumes', {alive: true, ranAfterDump: true}],
] as const)(
  'the source of a move whose Checkpoint is deleted stays frozen until the move has %s, and then %s',
  async ([phase, , outcome]) => {
    for (const byForce of [false, true])
      await withPod(async ({node, tools, begun}) => {
        await begun({phase: 'Dumped', frozen: true}, {podPolicy: 'Freeze', transfer: {nodeName: 'b'}})
        node.processes.dumped = true
        node.kube.put(moveIn('Verifying'))
        const object = await node.kube.get(checkpointRef(NAME))
        if (object === undefined) throw new Error('no checkpoint')
        if (byForce) node.kube.drop(checkpointRef(NAME))
        else {
          const metadata = {
            ...object.metadata,
            finalizers: [CHECKPOINT_FINALIZER],
            deletionTimestamp: '2026-01-01T00:00:00Z',
          }
          node.kube.put({...object, metadata})
        }
        const again = () =>
          byForce ? abandon(parseCheckpoint(object), tools) : reconcileCheckpoint(NAME, tools)
        await again()
        expect(node.processes).toMatchObject({podFrozen: true, alive: true, ranAfterDump: false})
        if (phase === 'Succeeded') await node.kube.delete(podRef(POD.namespace, POD.name))
        node.kube.put(moveIn(phase))
        await again()
        expect(node.processes).toMatchObject({podFrozen: false, ...outcome})
      })
  },
)

test('another pod of the name than was asked for is not dumped', async () => {
  await withPod(async ({node, take, status}) => {
    await take({podRef: {name: POD.name, uid: '11111111-2222-4333-8444-555555555555'}})
    expect(await status()).toMatchObject({phase: 'Failed', reason: 'POD_NOT_FOUND'})
    expect(node.processes.dumped).toBe(false)
  })
})

test('an archive that is not as long as it was written is not stored', async () => {
  await withPod(async ({node, tools, take, status}) => {
    await take({podPolicy: 'Freeze'}, {archives: {...tools.archives, sizeOf: () => Promise.resolve(1)}})
    const message = expect.stringContaining('has 1 bytes, expected') as string
    expect(await status()).toMatchObject({phase: 'Failed', message})
    expect([node.runs, node.blobs.objects.size]).toEqual([true, 0])
  })
})

test('what the store does not give back as it was stored is no checkpoint', async () => {
  await withPod(async ({node, take, status}) => {
    node.blobs.getManifest = () => Promise.resolve(undefined)
    await take({podPolicy: 'Freeze'})
    expect(await status()).toMatchObject({phase: 'Failed', frozen: false})
    expect(node.runs).toBe(true)
  })
})

test('a pod whose end of the dump was not seen is not taken for standing still', async () => {
  await withPod(async ({node, take, status}) => {
    const watchDump: AgentTools['watchDump'] = async (_cgroup, _options, dump) => ({
      answer: await dump(),
      seen: {dumped: true, frozenMs: 12, podFrozen: false, gapMs: undefined},
    })
    await take({podPolicy: 'Freeze'}, {watchDump})
    expect(await status()).toMatchObject({phase: 'Failed', reason: 'CHECKPOINT_FAILED'})
    expect(node.runs).toBe(true)
  })
})

test('a pod with more files than its limit is checkpointed where it runs on', async () => {
  await withPod(async ({node, take, status}) => {
    const pod = await node.kube.get(podRef(POD.namespace, POD.name))
    if (pod === undefined) throw new Error('no pod')
    const resources = {limits: {'ephemeral-storage': '1Ki'}}
    const containers = [{name: 'smoke', image: 'clouder.dev/smoke:1', resources}]
    node.kube.put({...pod, spec: {...Object(pod['spec']), containers}})
    node.dumpSize = {...node.dumpSize, fileBytes: 2 ** 30}
    await take({podPolicy: 'Freeze'})
    expect(await status()).toMatchObject({phase: 'Failed', reason: 'RESTORE_IMPOSSIBLE'})
    node.kube.drop(checkpointRef(NAME))
    await take({podPolicy: 'Resume'})
    expect(await status()).toMatchObject({phase: 'Ready'})
  })
})

test('a hook that fails is why there is no dump, and of a pod that is held none runs', async () => {
  await withPod(async ({node, take, status, begun}) => {
    const run: string[] = []
    const exec: AgentTools['exec'] = (id) => {
      run.push(id)
      return Promise.resolve({exitCode: 3, stdout: '', stderr: 'no'})
    }
    await take({hooks: {preCheckpoint: HOOK}}, {exec})
    const message = expect.stringContaining('hook preCheckpoint exited with code 3: no') as string
    expect(await status()).toMatchObject({phase: 'Failed', message})
    expect([node.processes.dumped, run.length]).toEqual([false, 1])
    await begun({phase: 'Ready', frozen: true})
    node.ask('late', {hooks: {postCheckpoint: HOOK}})
    const late = {namespace: POD.namespace, name: 'late'}
    await reconcileCheckpoint(late, {...node.tools(new Life(), signal), exec})
    expect((await node.kube.get(checkpointRef(late)))?.['status']).toMatchObject({phase: 'Failed'})
    expect([node.processes.podFrozen, run.length]).toEqual([true, 1])
  })
})

test('an error of the dump that is none of the API server ends the checkpoint', async () => {
  await withPod(async ({node, take, status}) => {
    node.dumpProblem = new CheckpointError('CHECKPOINT_FAILED', 'CRIU did not like it')
    await take({podPolicy: 'Freeze'})
    expect(await status()).toMatchObject({phase: 'Failed', message: 'CRIU did not like it', frozen: false})
    expect(node.runs).toBe(true)
  })
})
