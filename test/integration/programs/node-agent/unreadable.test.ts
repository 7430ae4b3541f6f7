import {Registry} from 'prom-client'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {API_VERSION} from '../../../../src/api/names.ts'
import {answeringKey} from '../../../../src/operator/peer-tls.ts'
import type {KubeClient} from '../../../../src/kubernetes/types.ts'
import {startAgent} from '../../../../src/programs/node-agent/agent.ts'
import {serveHttp} from '../../../../src/operator/http-server.ts'
import {checkpointRef} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {diskPreparations} from '../../../../src/programs/node-agent/prepare.ts'
import {FakeNode, Life, NODE, POD} from '../../../support/fake-node.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const asked = (name: string) => checkpointRef({namespace: POD.namespace, name})

/** Objects as an API server held them that had no rules yet, and a status as no agent writes it. */
function putUnreadable(node: FakeNode): void {
  const put = (kind: string, spec: object, status: object = {}) =>
    node.kube.put({
      apiVersion: API_VERSION,
      kind,
      metadata: {name: 'bad', namespace: 'default'},
      spec,
      status,
    })
  const before = {container: 'smoke', command: ['true'], timeoutSeconds: 601}
  put('Checkpoint', {podRef: {name: POD.name}, hooks: {preCheckpoint: before}})
  put('Restore', {checkpointName: 'one', ttlSecondsAfterFinished: 2 ** 53})
  put('Migration', {podName: POD.name}, {phase: 'Pending', targetNodeName: NODE, missingImages: 'none'})
}

test('what no schema takes stops neither the checkpoints of others nor a watch', async () => {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    putUnreadable(node)
    const ended = new AbortController()
    const tools = node.tools(new Life(), ended.signal)
    const agent = startAgent(tools, diskPreparations(join(folder, 'restore'), tools), new Registry())
    // After it, in the same watch.
    node.ask('one', {})
    const checked = expect
      .poll(async () => (await node.kube.get(asked('one')))?.['status'], {interval: 5, timeout: 10_000})
      .toMatchObject({phase: 'Ready'})
    await Promise.race([checked, agent.ended])
    expect(agent.problem()).toBeUndefined()
    ended.abort()
    await agent.ended
  })
})

test('a pod stays frozen for a checkpoint that cannot be read any more', async () => {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    node.ask('one', {podPolicy: 'Freeze'})
    const first = new AbortController()
    const tools = node.tools(new Life(), first.signal)
    startAgent(tools, diskPreparations(join(folder, 'restore'), tools), new Registry())
    await expect
      .poll(async () => (await node.kube.get(asked('one')))?.['status'], {interval: 5, timeout: 10_000})
      .toMatchObject({phase: 'Ready', frozen: true})
    first.abort()
    const object = await node.kube.get(asked('one'))
    if (object === undefined) expect.fail('it is gone')
    node.kube.put({...object, spec: {podRef: {name: POD.name}, containers: []}})
    const ended = new AbortController()
    const next = node.tools(new Life(), ended.signal)
    const agent = startAgent(next, diskPreparations(join(folder, 'restore'), next), new Registry())
    // Another one of that pod says that it stands still for the first.
    node.ask('two', {})
    await expect
      .poll(async () => (await node.kube.get(asked('two')))?.['status'], {interval: 5, timeout: 10_000})
      .toMatchObject({phase: 'Failed'})
    await agent.idle()
    expect(node.processes.podFrozen).toBe(true)
    ended.abort()
  })
})

test('an agent whose watch ends by an error says so on /healthz, and ends', async () => {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    const ended = new AbortController()
    const tools = node.tools(new Life(), ended.signal)
    const {promise: broken, reject: breakWatch} = Promise.withResolvers<undefined>()
    const kube: KubeClient = new Proxy(tools.kube, {
      get: (target, name) => (name === 'watch' ? () => broken : (Reflect.get(target, name) as unknown)),
    })
    const agent = startAgent(
      {...tools, kube},
      diskPreparations(join(folder, 'restore'), tools),
      new Registry(),
    )
    const server = await serveHttp(0, {
      registry: new Registry(),
      health: agent,
      peers: {
        key: answeringKey(() => Promise.reject(new Error('there is none')), Date.now),
        answer: () => Promise.resolve(false),
      },
      log: () => undefined,
    })
    const url = `http://127.0.0.1:${server.port}/healthz`
    expect((await fetch(url)).status).toBe(200)
    breakWatch(new TypeError('what came is no event'))
    await expect(agent.ended).rejects.toThrow('what came is no event')
    const answer = await fetch(url)
    expect(answer.status).toBe(503)
    expect(await answer.text()).toBe('a watch ended: what came is no event\n')
    ended.abort()
    server.close()
  })
})
