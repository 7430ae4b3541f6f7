import {Registry} from 'prom-client'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {startAgent} from '../../../../src/programs/node-agent/agent.ts'
import {checkpointRef} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {diskPreparations} from '../../../../src/programs/node-agent/prepare.ts'
import type {KubeClient, WatchQuery} from '../../../../src/kubernetes/types.ts'
import {FakeNode, Life, POD} from '../../../support/fake-node.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

test('an agent is ready when it has read all kinds that it watches, and names those that it has not', async () => {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    const ended = new AbortController()
    const tools = node.tools(new Life(), ended.signal)
    const held = new Map<string, WatchQuery>()
    const watch: KubeClient['watch'] = (query, onEvent, signal) => {
      held.set(query.kind, query)
      return tools.kube.watch({...query, onSynced: () => undefined}, onEvent, signal)
    }
    const kube: KubeClient = new Proxy(tools.kube, {
      get: (target, name) => (name === 'watch' ? watch : (Reflect.get(target, name) as unknown)),
    })
    const registry = new Registry()
    const agent = startAgent({...tools, kube}, diskPreparations(join(folder, 'restore'), tools), registry)
    for (const kind of ['Pod', 'Checkpoint', 'Restore']) {
      expect(agent.unready()).toMatch(new RegExp(`^the initial lists are not complete yet: .*\\b${kind} \\(`))
      held.get(kind)?.onSynced?.()
    }
    held.get('Migration')?.onState?.('forbidden')
    expect(agent.unready()).toMatch(
      /^the initial lists are not complete yet: Migration \(forbidden since [^,]*\)$/,
    )
    expect(await registry.metrics()).toContain('clouder_node_watch_live{kind="Migration"} 0')
    held.get('Migration')?.onState?.('live')
    held.get('Migration')?.onSynced?.()
    expect(agent.unready()).toBeUndefined()
    expect(await registry.metrics()).toContain('clouder_node_watch_live{kind="Migration"} 1')
    expect(await registry.metrics()).toContain('clouder_node_watched_objects{kind="Pod"} 1')
    ended.abort()
    await agent.ended
  })
})

test('a pod that stands still for no checkpoint goes on, although the API server fails at first', async () => {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    node.processes.podFrozen = true
    const ended = new AbortController()
    const tools = node.tools(new Life(), ended.signal)
    let failures = 1
    const get: KubeClient['get'] = (ref) =>
      failures-- > 0 ? Promise.reject(new Error('etcdserver: leader changed')) : tools.kube.get(ref)
    const kube: KubeClient = new Proxy(tools.kube, {
      get: (target, name) => (name === 'get' ? get : (Reflect.get(target, name) as unknown)),
    })
    startAgent({...tools, kube}, diskPreparations(join(folder, 'restore'), tools), new Registry())
    await expect.poll(() => node.runs, {timeout: 10_000}).toBe(true)
    expect(failures).toBeLessThan(0)
    ended.abort()
  })
})

test('a pod that has come to stand still for a checkpoint that was not heard of yet stays so', async () => {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    node.processes.podFrozen = true
    const ended = new AbortController()
    const tools = node.tools(new Life(), ended.signal)
    // Of a Checkpoint nothing is heard: it is on the server only.
    const watch: KubeClient['watch'] = (query, onEvent, signal) =>
      tools.kube.watch(query, query.kind === 'Checkpoint' ? () => undefined : onEvent, signal)
    const kube: KubeClient = new Proxy(tools.kube, {
      get: (target, name) => (name === 'watch' ? watch : (Reflect.get(target, name) as unknown)),
    })
    node.ask('one', {podPolicy: 'Freeze'})
    const ref = checkpointRef({namespace: POD.namespace, name: 'one'})
    await node.kube.patch(ref, {status: {phase: 'Ready', frozen: true}}, {subresource: 'status'})
    const agent = startAgent(
      {...tools, kube},
      diskPreparations(join(folder, 'restore'), tools),
      new Registry(),
    )
    await expect.poll(() => agent.unready()).toBeUndefined()
    await agent.idle()
    expect(node.processes.podFrozen).toBe(true)
    ended.abort()
    await agent.ended
  })
})
