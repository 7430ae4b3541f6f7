import {readdir} from 'node:fs/promises'
import {join} from 'node:path'
import {Registry} from 'prom-client'
import {expect, test} from 'vitest'
import {checkpointStatusSchema} from '../../../../src/api/resources.ts'
import {objectStore} from '../../../../src/checkpoint/stores/object-store.ts'
import type {Objects} from '../../../../src/checkpoint/stores/objects.ts'
import {networkProblem} from '../../../../src/checkpoint/stores/problems.ts'
import {startAgent} from '../../../../src/programs/node-agent/agent.ts'
import {checkpointRef} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {diskPreparations} from '../../../../src/programs/node-agent/prepare.ts'
import {clusterStores} from '../../../../src/programs/node-agent/stores.ts'
import {FakeNode, Life, NODE, POD} from '../../../support/fake-node.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const statusOf = async (node: FakeNode, name: string) =>
  checkpointStatusSchema.parse(
    (await node.kube.get(checkpointRef({namespace: POD.namespace, name})))?.['status'] ?? {},
  )

/** Asks for checkpoints of one pod all at once, and waits until each has ended. */
async function askTogether(
  specs: Readonly<Record<string, Record<string, unknown>>>,
  check: (node: FakeNode) => Promise<void>,
): Promise<void> {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    for (const [name, spec] of Object.entries(specs)) node.ask(name, spec)
    const ended = new AbortController()
    const tools = node.tools(new Life(), ended.signal)
    const agent = startAgent(tools, diskPreparations(join(folder, 'restore'), tools), new Registry())
    for (const name of Object.keys(specs)) {
      await expect
        .poll(async () => (await statusOf(node, name)).phase, {interval: 5, timeout: 10_000})
        .toMatch(/Ready|Failed/)
    }
    await agent.idle()
    await check(node)
    ended.abort()
  })
}

test('checkpoints of one pod that are asked for at once are taken one after another', async () => {
  await askTogether({one: {}, two: {}, three: {}}, async (node) => {
    for (const name of ['one', 'two', 'three'])
      expect(await statusOf(node, name)).toMatchObject({phase: 'Ready'})
    expect(node.mostDumpsAtOnce).toBe(1)
    expect(node.runs).toBe(true)
  })
})

test('a pod that stands still for one checkpoint does so whatever becomes of others', async () => {
  // The store that this one names is not there, which is found out while the pod stands still for the other.
  const astray = {storeName: 'absent'}
  await askTogether({astray, kept: {podPolicy: 'Freeze'}, late: {}}, async (node) => {
    expect(await statusOf(node, 'kept')).toMatchObject({phase: 'Ready', frozen: true})
    expect(await statusOf(node, 'astray')).toMatchObject({phase: 'Failed', reason: 'STORE_UNKNOWN'})
    expect(node.processes.podFrozen).toBe(true)
  })
})

test('a checkpoint that is deleted while it waits for its store is given up, and leaves nothing', async () => {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    node.ask('one', {})
    const ended = new AbortController()
    const alone = node.tools(new Life(), ended.signal)
    const stores = clusterStores({
      kube: node.kube,
      node: NODE,
      openBlobs: (_spec, _credentials, patience) =>
        Promise.resolve(objectStore(awayObjects(), {pauseMs: 1, patience})),
      openPeer: () => Promise.reject(new Error('there is none')),
    })
    // Time flies, so that each of its waits is told.
    let nowMs = Date.now()
    const tools = {...alone, stores, now: () => (nowMs += 10_000)}
    const agent = startAgent(tools, diskPreparations(join(folder, 'restore'), tools), new Registry())
    await expect
      .poll(async () => (await statusOf(node, 'one')).message, {interval: 5, timeout: 10_000})
      .toBe('waiting for store default, which is unavailable: ECONNREFUSED')
    await node.kube.delete(checkpointRef({namespace: POD.namespace, name: 'one'}))
    await expect.poll(() => readdir(folder), {interval: 5, timeout: 10_000}).toEqual([])
    await agent.idle()
    expect(node.runs).toBe(true)
    ended.abort()
  })
})

/** Of a store where nobody listens. */
function awayObjects(): Objects {
  const away = () => Promise.reject(Object.assign(new Error('connect'), {code: 'ECONNREFUSED'}))
  return {
    location: 'away',
    stat: away,
    write: away,
    read: away,

    list: async function* () {
      await away()
    },
    remove: away,
    touch: away,
    removePartial: away,
    problemOf: networkProblem,
  }
}

test('a store that is away is waited for by a pod that runs on, not by one that stands still', async () => {
  for (const podPolicy of ['Resume', 'Freeze', 'Delete'] as const) {
    await askTogether({one: {podPolicy}}, (node) => {
      expect(node.patience?.patienceMs ?? 0, podPolicy).toBe(podPolicy === 'Resume' ? 300_000 : 0)
      return Promise.resolve()
    })
  }
})
