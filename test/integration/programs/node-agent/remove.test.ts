import {expect, test} from 'vitest'
import {API_VERSION, CHECKPOINT_FINALIZER} from '../../../../src/api/names.ts'
import {checkpointStatusSchema, type CheckpointStatus} from '../../../../src/api/resources.ts'
import {checkpointRef, type CheckpointName} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {podRef} from '../../../../src/kubernetes/pod.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import type {AgentTools} from '../../../../src/programs/node-agent/tools.ts'
import {FakeNode, Life, NODE, POD} from '../../../support/fake-node.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const {signal} = new AbortController()
const ONE = {namespace: POD.namespace, name: 'one'}
const OTHER = {namespace: 'other', name: 'two'}

interface Bench {
  readonly node: FakeNode
  readonly tools: AgentTools
  readonly status: (name: CheckpointName) => Promise<CheckpointStatus | undefined>
  /** Somebody deletes it, and its agent sees to it. */
  readonly remove: (name: CheckpointName) => Promise<void>
  readonly manifests: () => Promise<number>
}

/** A Ready checkpoint of the node's pod, and a namespace of somebody else. */
async function withStored(use: (bench: Bench) => Promise<void>): Promise<void> {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    node.kube.put({apiVersion: 'v1', kind: 'Namespace', metadata: {name: OTHER.namespace}})
    node.ask(ONE.name, {})
    const tools = node.tools(new Life(), signal)
    await reconcileCheckpoint(ONE, tools)
    await use({
      node,
      tools,
      status: async (name) => {
        const object = await node.kube.get(checkpointRef(name))
        return object === undefined ? undefined : checkpointStatusSchema.parse(object['status'] ?? {})
      },
      remove: async (name) => {
        const object = await node.kube.get(checkpointRef(name))
        if (object === undefined) throw new Error(`there is no ${name.name}`)
        const metadata = {
          ...object.metadata,
          finalizers: [CHECKPOINT_FINALIZER],
          deletionTimestamp: '2026-01-01T00:00:00Z',
        }
        node.kube.put({...object, metadata})
        await reconcileCheckpoint(name, tools)
      },
      manifests: async () => (await node.blobs.listManifests(signal)).length,
    })
  })
}

const put = ({node}: Bench, name: CheckpointName, spec: object, status?: object): void =>
  node.kube.put({
    apiVersion: API_VERSION,
    kind: 'Checkpoint',
    metadata: {...name},
    spec,
    ...(status === undefined ? {} : {status}),
  })

test('what another checkpoint means too stays until that one goes', async () => {
  await withStored(async (bench) => {
    const status = await bench.status(ONE)
    put(bench, OTHER, {podRef: {name: 'web'}, storeName: 'default'}, status)
    await bench.remove(ONE)
    expect([await bench.status(ONE), await bench.manifests()]).toEqual([undefined, 1])
    await bench.remove(OTHER)
    expect([await bench.status(OTHER), await bench.manifests()]).toEqual([undefined, 0])
  })
})

test('what lies where the controller reaches it is left to the controller, and so is the finalizer', async () => {
  await withStored(async (bench) => {
    const spec = {s3: {bucket: 'b', region: 'eu-central-1'}}
    const metadata = {name: 'default'}
    bench.node.kube.put({apiVersion: API_VERSION, kind: 'CheckpointStore', metadata, spec})
    await bench.remove(ONE)
    const left = await bench.node.kube.get(checkpointRef(ONE))
    expect([left?.metadata.finalizers, await bench.manifests()]).toEqual([[CHECKPOINT_FINALIZER], 1])
  })
})

test('a finalizer that somebody adds meanwhile is not taken away', async () => {
  await withStored(async (bench) => {
    const {kube} = bench.node
    const get = kube.get.bind(kube)
    const collect = bench.node.blobs.collect.bind(bench.node.blobs)
    let isCollected = false
    bench.node.blobs.collect = (options) => {
      isCollected = true
      return collect(options)
    }
    kube.get = async (ref) => {
      const found = await get(ref)
      // Between the agent's last look and its change.
      if (isCollected && found?.kind === 'Checkpoint') {
        isCollected = false
        const finalizers = [...(found.metadata.finalizers ?? []), 'example.com/backup']
        kube.put({...found, metadata: {...found.metadata, finalizers}})
      }
      return found
    }
    await bench.remove(ONE)
    expect((await get(checkpointRef(ONE)))?.metadata.finalizers).toEqual(['example.com/backup'])
  })
})

test('a pod that stands still for a checkpoint that is deleted goes on', async () => {
  await withStored(async (bench) => {
    const {node} = bench
    const podUID = (await node.kube.get(podRef(POD.namespace, POD.name)))?.metadata.uid
    for (const phase of ['Dumping', 'Storing']) {
      const name = {namespace: POD.namespace, name: phase.toLowerCase()}
      put(bench, name, {podRef: {name: POD.name}, podPolicy: 'Freeze'}, {phase, nodeName: NODE, podUID})
      node.processes.podFrozen = true
      await bench.remove(name)
      expect(node.runs, phase).toBe(true)
    }
  })
})

test('memory of another namespace is not imported', async () => {
  await withStored(async (bench) => {
    const {digest} = (await bench.status(ONE)) ?? {}
    put(bench, OTHER, {import: {digest}, storeName: 'default'})
    await reconcileCheckpoint(OTHER, bench.tools)
    expect(await bench.status(OTHER)).toMatchObject({phase: 'Failed', reason: 'CHECKPOINT_UNKNOWN'})
    const own = {namespace: POD.namespace, name: 'own'}
    put(bench, own, {import: {digest}, storeName: 'default'})
    await reconcileCheckpoint(own, bench.tools)
    expect(await bench.status(own)).toMatchObject({phase: 'Ready', digest})
  })
})

test('nothing is imported from a store that the namespace may not use, and nothing kept there', async () => {
  await withStored(async (bench) => {
    const {digest} = (await bench.status(ONE)) ?? {}
    const {kube} = bench.node
    kube.put({
      apiVersion: API_VERSION,
      kind: 'CheckpointStore',
      metadata: {name: 'private'},
      spec: {node: {}},
    })
    put(bench, {namespace: POD.namespace, name: 'imported'}, {import: {digest}, storeName: 'private'})
    bench.node.ask('taken', {storeName: 'private'})
    for (const name of ['imported', 'taken']) {
      const own = {namespace: POD.namespace, name}
      await reconcileCheckpoint(own, bench.tools)
      expect(await bench.status(own), name).toMatchObject({phase: 'Failed', reason: 'STORE_REFUSED'})
    }
  })
})

test('of two agents that find what is to be imported the first one does it', async () => {
  await withStored(async (bench) => {
    const {digest} = (await bench.status(ONE)) ?? {}
    const own = {namespace: POD.namespace, name: 'own'}
    put(bench, own, {import: {digest}, storeName: 'default'})
    const open: AgentTools['stores']['open'] = async (...given) => {
      await bench.node.kube.patch(
        checkpointRef(own),
        {status: {phase: 'Storing', nodeName: 'first'}},
        {subresource: 'status'},
      )
      return bench.tools.stores.open(...given)
    }
    await reconcileCheckpoint(own, {...bench.tools, stores: {open}})
    expect(await bench.status(own)).toEqual({phase: 'Storing', nodeName: 'first'})
  })
})

test('an import that was ended meanwhile stays ended', async () => {
  await withStored(async (bench) => {
    const {digest} = (await bench.status(ONE)) ?? {}
    const own = {namespace: POD.namespace, name: 'own'}
    put(bench, own, {import: {digest}, storeName: 'default'})
    const {blobs} = bench.node
    const getManifest = blobs.getManifest.bind(blobs)
    let reads = 0
    blobs.getManifest = async (...given) => {
      reads += 1
      if (reads === 2)
        await bench.node.kube.patch(
          checkpointRef(own),
          {status: {phase: 'Failed', reason: 'GONE'}},
          {subresource: 'status'},
        )
      return getManifest(...given)
    }
    await reconcileCheckpoint(own, bench.tools)
    expect(reads).toBeGreaterThan(1)
    expect(await bench.status(own)).toMatchObject({phase: 'Failed', reason: 'GONE'})
  })
})

test('a checkpoint that is given to another node while an agent begins stays with that node', async () => {
  await withStored(async (bench) => {
    const {node, tools} = bench
    const own = {namespace: POD.namespace, name: 'own'}
    node.ask(own.name, {})
    const givenMeanwhile = async () => {
      await node.kube.patch(
        checkpointRef(own),
        {status: {phase: 'Dumping', nodeName: 'first'}},
        {subresource: 'status'},
      )
      return tools.nodeFeatures()
    }
    await reconcileCheckpoint(own, {...tools, nodeFeatures: givenMeanwhile})
    const status = await bench.status(own)
    expect(status).toMatchObject({phase: 'Dumping', nodeName: 'first'})
    expect(status).not.toHaveProperty('startTime')
  })
})
