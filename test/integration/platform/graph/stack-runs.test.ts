import {performance} from 'node:perf_hooks'
import fc from 'fast-check'
import {afterAll, expect, test, type TestContext} from 'vitest'
import type {KubeClient, KubeObject} from '../../../../src/kubernetes/types.ts'
import {applyStack} from '../../../../src/platform/graph/apply.ts'
import {destroyStack} from '../../../../src/platform/graph/destroy.ts'
import {allNeedsOf} from '../../../../src/platform/graph/graph.ts'
import {stackRevisions} from '../../../../src/platform/graph/history.ts'
import {planStack} from '../../../../src/platform/graph/plan.ts'
import {prepareStack} from '../../../../src/platform/graph/prepare.ts'
import {loadStack} from '../../../../src/platform/graph/stack-load.ts'
import {randomNeeds} from '../../../support/random-needs.ts'
import {
  deployment,
  playControllers,
  stackFolder,
  stackTools,
  type StackFolder,
} from '../../../support/stack-scene.ts'
import {needBundle, startApiServer} from '../../../support/with-api-server.ts'

async function start(context: TestContext) {
  const server = await startApiServer(await needBundle(context))
  const ended = new AbortController()
  const ready: string[] = []
  const playing = playControllers(server.kube, ended.signal, (name) => ready.push(name))
  return {
    kube: server.kube,
    ready,
    stop: async () => {
      ended.abort()
      await playing
      await server[Symbol.asyncDispose]()
    },
  }
}
type Started = Awaited<ReturnType<typeof start>>
let started: Promise<Started> | undefined
const served = (context: TestContext): Promise<Started> => (started ??= start(context))
afterAll(async () => (await started)?.stop())

const WRITES = ['apply', 'applyAs', 'create', 'update', 'patch', 'delete', 'post'] as const

/** A client that dies at the nth write: from then on nothing reaches the server, as when the process is killed. */
function dyingAt(kube: KubeClient, last: number): {readonly kube: KubeClient; readonly writes: () => number} {
  let writes = 0
  const dying = new Proxy(kube, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key)
      if (typeof value !== 'function') return value
      return (...args: readonly unknown[]): unknown => {
        if ((WRITES as readonly PropertyKey[]).includes(key)) writes += 1
        if (writes > last) return Promise.reject(new Error('killed'))
        return Reflect.apply(value, target, args)
      }
    },
  })
  return {kube: dying, writes: () => writes}
}

const stackText = (name: string, services: object): string =>
  JSON.stringify({apiVersion: 'clouder.dev/v1alpha1', kind: 'Stack', metadata: {name}, services})

async function applyText(text: string, kube: KubeClient, folder: StackFolder) {
  const tools = stackTools(kube, folder.path)
  return applyStack(await prepareStack(loadStack({text, file: 'stack.yaml'}), tools), tools)
}

const configMap = (name: string, data: Readonly<Record<string, unknown>>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: {name},
  data,
})

test(
  'a run that is killed at any write is continued by the next one, under the same revision',
  {timeout: 240_000},
  async (context) => {
    const {kube} = await served(context)
    await using folder = await stackFolder()
    await folder.write('a.yaml', configMap('a', {x: '1'}), deployment('a'))
    await folder.write('b.yaml', configMap('b', {x: {$output: {service: 'a', name: 'x'}}}))
    const services = {
      a: {
        source: {manifests: 'a.yaml'},
        outputs: {x: {from: {apiVersion: 'v1', kind: 'ConfigMap', name: 'a', jsonPath: '{.data.x}'}}},
      },
      b: {source: {manifests: 'b.yaml'}},
    }
    // How many writes a whole run has; the lock may be renewed as well.
    await kube.create({apiVersion: 'v1', kind: 'Namespace', metadata: {name: 'whole'}})
    const whole = dyingAt(kube, Infinity)
    await applyText(stackText('whole', services), whole.kube, folder)
    const most = whole.writes()
    expect(most).toBeGreaterThan(10)
    // The lock of a killed run expires first: all of them at the same time.
    const killed = Array.from({length: most}, (_, index) => index)
    await Promise.all(
      killed.map(async (last) => {
        const name = `killed-${last}`
        await kube.create({apiVersion: 'v1', kind: 'Namespace', metadata: {name}})
        const text = stackText(name, services)
        const {kube: dying} = dyingAt(kube, last)
        await applyText(text, dying, folder).catch(() => undefined)
        await applyText(text, kube, folder)
        const [newest, ...older] = await stackRevisions(kube, name)
        expect(older, name).toEqual([])
        expect(newest, name).toMatchObject({revision: 1, state: 'deployed'})
        const made = await kube.get({apiVersion: 'v1', kind: 'ConfigMap', namespace: name, name: 'b'})
        expect(made?.['data'], name).toEqual({x: '1'})
        const tools = stackTools(kube, folder.path)
        const plan = await planStack(await prepareStack(loadStack({text, file: 'stack.yaml'}), tools), tools)
        expect(plan.hasChanges, name).toBe(false)
      }),
    )
  },
)

test(
  'two runs at the same time: one waits or is refused, and the stack is whole',
  {timeout: 60_000},
  async (context) => {
    const {kube} = await served(context)
    await using folder = await stackFolder()
    await kube.create({apiVersion: 'v1', kind: 'Namespace', metadata: {name: 'twice'}})
    await folder.write('a.yaml', configMap('a', {x: '1'}), deployment('a'))
    const text = stackText('twice', {a: {source: {manifests: 'a.yaml'}}})
    const ends = await Promise.allSettled([applyText(text, kube, folder), applyText(text, kube, folder)])
    const refused = ends.filter(({status}) => status === 'rejected')
    expect(refused.length).toBeLessThan(2)
    for (const end of refused) expect(end).toMatchObject({reason: {code: 'RELEASE_LOCKED'}})
    const revisions = await stackRevisions(kube, 'twice')
    expect(revisions.map(({revision, state}) => [revision, state])).toEqual([[1, 'deployed']])
  },
)

test(
  '60 services with a random graph: order kept, work in parallel, a bad gate leaves the rest, a plan of nothing',
  {timeout: 240_000},
  async (context) => {
    const {kube, ready} = await served(context)
    await using folder = await stackFolder()
    await kube.create({apiVersion: 'v1', kind: 'Namespace', metadata: {name: 'many'}})
    const [needs = new Map<string, readonly string[]>()] = fc.sample(randomNeeds(60, 60), 1)
    const services: Record<string, object> = {}
    for (const [name, own] of needs) {
      await folder.write(`${name}.yaml`, deployment(name), configMap(name, {x: '1'}))
      services[name] = {source: {manifests: `${name}.yaml`}, needs: own, gate: {ready: {timeoutSeconds: 60}}}
    }
    const text = stackText('many', services)
    const before = ready.length
    const tools = stackTools(kube, folder.path)
    await applyStack(await prepareStack(loadStack({text, file: 'stack.yaml'}), tools), tools)
    const order = ready.slice(before)
    for (const [name, own] of needs) {
      for (const need of own)
        expect(order.indexOf(need), `${need} before ${name}`).toBeLessThan(order.indexOf(name))
    }
    let running = 0
    let most = 0
    for (const {type, ...event} of tools.events) {
      if (!('task' in event) || event.task === 'namespaces') continue
      if (type === 'task-started') most = Math.max(most, (running += 1))
      if (type === 'task-done') running -= 1
    }
    expect(most).toBeGreaterThan(3)

    const begunAt = performance.now()
    const idle = await planStack(await prepareStack(loadStack({text, file: 'stack.yaml'}), tools), tools)
    const took = performance.now() - begunAt
    expect(idle.hasChanges).toBe(false)
    await context.annotate(`planned ${needs.size} services with nothing to do in ${Math.round(took)} ms`)

    // The one that most others need.
    const users = [...needs.keys()].map((name) => ({
      name,
      users: [...needs.keys()].filter((other) => allNeedsOf(other, needs).has(name)),
    }))
    const [worst] = users.toSorted((a, b) => b.users.length - a.users.length)
    const bad = worst?.name ?? ''
    for (const name of needs.keys()) {
      await folder.write(
        `${name}.yaml`,
        deployment(name, name === bad ? 'registry.example.com/x:bad' : undefined),
        configMap(name, {x: '2'}),
      )
    }
    services[bad] = {...services[bad], gate: {ready: {timeoutSeconds: 3}}}
    const failed = await applyText(stackText('many', services), kube, folder).then(
      () => undefined,
      (error: unknown) => error,
    )
    expect(failed).toMatchObject({code: 'STACK_FAILED', problems: [{path: bad}]})
    const left = await kube.list({apiVersion: 'v1', kind: 'ConfigMap', namespace: 'many'})
    const values = new Map(
      left.map(({metadata, data}) => [metadata.name, (data as Record<string, string> | undefined)?.['x']]),
    )
    const untouched = new Set([bad, ...(worst?.users ?? [])])
    for (const name of needs.keys()) expect(values.get(name), name).toBe(untouched.has(name) ? '1' : '2')

    const removed = (await destroyStack('many', tools)).removed
    for (const [name, own] of needs) {
      for (const need of own)
        expect(removed.indexOf(name), `${name} before ${need}`).toBeLessThan(removed.indexOf(need))
    }
  },
)
