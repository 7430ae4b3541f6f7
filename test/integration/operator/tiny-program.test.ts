import {Registry} from 'prom-client'
import {afterAll, expect, test, type TestContext} from 'vitest'
import {z} from 'zod'
import {waitFor} from '../../../src/base/waiting.ts'
import {openKube} from '../../../src/kubernetes/client.ts'
import {refOf} from '../../../src/kubernetes/refs.ts'
import type {KubeObject, ObjectRef} from '../../../src/kubernetes/types.ts'
import {recordEvent} from '../../../src/operator/events.ts'
import {addFinalizer, removeFinalizer} from '../../../src/operator/finalizers.ts'
import {serveHttp} from '../../../src/operator/http-server.ts'
import {startManager} from '../../../src/operator/manager.ts'
import type {ReconcileContext, Reconciler} from '../../../src/operator/reconciler.ts'
import {needBundle, startApiServer, type ApiServer} from '../../support/with-api-server.ts'

/*
 * What docs/adding-a-program.md asks for, as a whole: a program that doubles what stands in ConfigMaps, and tidies up
 * behind those that are deleted.
 */

const FINALIZER = 'clouder.dev/doubled'
/** A machine that is busy loses no lease of this length; one that ends gives its own back. */
const LEASE = {leaseMs: 60_000, renewMs: 40_000, retryMs: 50}
const configMapSchema = z.looseObject({
  metadata: z.looseObject({deletionTimestamp: z.string().optional()}),
  data: z.record(z.string(), z.string().regex(/^\d*$/)).default({}),
})

interface TinyContext extends ReconcileContext<'ConfigMap'> {
  /** Who acted, on what. */
  readonly acted: string[]
  readonly identity: string
  /** Awaited between reading and writing. */
  readonly beforeWrite: (name: string) => Promise<void>
}

const doubling: Reconciler<'ConfigMap', TinyContext> = {
  name: 'doubling',
  kind: 'ConfigMap',
  async reconcile(object, context) {
    const {name} = object.metadata
    const {metadata, data} = configMapSchema.parse(object)
    if (data['number'] === undefined) return undefined
    if (metadata.deletionTimestamp !== undefined) {
      context.acted.push(`${context.identity} forgets ${name}`)
      await removeFinalizer(object, FINALIZER, context)
      return undefined
    }
    const doubled = String(2 * Number(data['number']))
    if (data['doubled'] === doubled) {
      // Once more, to see that it is asked for again.
      if (data['looks'] !== undefined) return undefined
      await context.kube.patch(refOf(object), {data: {looks: '1'}})
      return undefined
    }
    const held = await addFinalizer(object, FINALIZER, context)
    await context.beforeWrite(name)
    await context.kube.patch(refOf(held), {
      data: {doubled},
      metadata: {resourceVersion: held.metadata.resourceVersion},
    })
    context.acted.push(`${context.identity} doubles ${name}`)
    await recordEvent(held, 'Normal', 'Doubled', `${data['number']} is ${doubled} now`, context)
    return {requeueAfterMs: 20}
  },
}

let started: Promise<ApiServer> | undefined
async function apiServer(context: TestContext): Promise<ApiServer> {
  const bundle = await needBundle(context)
  return (started ??= startApiServer(bundle))
}
afterAll(async () => {
  await (await started)?.[Symbol.asyncDispose]()
})

/** One process of the program, with a connection and a port of its own. */
async function tiny(
  {kubeconfig, port}: ApiServer,
  identity: string,
  acted: string[],
  beforeWrite: TinyContext['beforeWrite'],
) {
  const over = new AbortController()
  const kube = await openKube({kubeconfig, port, signal: new AbortController().signal})
  const registry = new Registry()
  const manager = startManager<'ConfigMap', TinyContext>({
    kube,
    component: 'tiny',
    election: {namespace: 'default', identity, lease: LEASE},
    registry,
    metricsPrefix: 'clouder_tiny',
    kinds: {ConfigMap: {apiVersion: 'v1', namespace: 'default', schema: configMapSchema}},
    reconcilers: () => [doubling],
    contextOf: (context) => ({...context, acted, identity, beforeWrite}),
    onUnreadable: (kind, object, problem, context) =>
      recordEvent(object, 'Warning', 'Invalid', `${kind}: ${problem}`, context),
    now: Date.now,
    log: () => undefined,
    signal: over.signal,
  })
  const server = await serveHttp(0, {health: manager, registry, log: () => undefined})
  return {
    ask: async (path: string) => (await fetch(`http://127.0.0.1:${server.port}${path}`)).text(),
    stop: async () => {
      over.abort()
      await manager.ended
      server.close()
      kube.close()
    },
  }
}

const ref = (name: string): ObjectRef => ({apiVersion: 'v1', kind: 'ConfigMap', namespace: 'default', name})
const configMap = (name: string, number: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: {name, namespace: 'default'},
  data: {number},
})

async function until(what: string, check: () => Promise<unknown>): Promise<void> {
  await waitFor({
    what,
    check: async () => ({seen: 'not yet', ...((await check()) === true ? {value: true} : {})}),
    timeoutMs: 30_000,
    intervalMs: 20,
    signal: new AbortController().signal,
  })
}

const dataOf = (object: KubeObject | undefined): Readonly<Record<string, string>> =>
  configMapSchema.safeParse(object).data?.data ?? {}

test('a program is a reconciler and its wiring: the kit elects, reconciles, repeats, tidies up and ends', async (context) => {
  const api = await apiServer(context)
  const {kube} = api
  await kube.apply([{apiVersion: 'v1', kind: 'Namespace', metadata: {name: 'default'}}])
  const acted: string[] = []
  const raced: string[] = []
  await kube.create(configMap('one', '21'))
  // Somebody else writes in between, once.
  const race = async (name: string): Promise<void> => {
    if (name !== 'raced' || raced.length > 0) return
    raced.push(name)
    await kube.patch(ref(name), {data: {number: '4'}})
  }
  const first = await tiny(api, 'first', acted, race)
  const second = await tiny(api, 'second', acted, race)
  await until(
    'what was there to be doubled',
    async () => dataOf(await kube.get(ref('one')))['doubled'] === '42',
  )
  await until('it to be looked at again', async () => dataOf(await kube.get(ref('one')))['looks'] === '1')
  expect([await first.ask('/healthz'), await first.ask('/readyz')]).toEqual(['ok\n', 'ok\n'])
  expect(await second.ask('/readyz')).toBe('ok\n')
  const [leader, other] = acted[0]?.startsWith('first') === true ? [first, second] : [second, first]
  expect(await leader.ask('/metrics')).toContain('clouder_tiny_leader 1')
  expect(await leader.ask('/metrics')).toMatch(/clouder_tiny_reconciles_total\{.*result="done"\} \d/)
  expect(await other.ask('/metrics')).toContain('clouder_tiny_leader 0')
  expect(await leader.ask('/metrics')).toContain('clouder_tiny_watch_live{kind="ConfigMap"} 1')
  expect(await other.ask('/metrics')).not.toContain('clouder_tiny_watch_live{')

  // One that no schema takes stops nobody, and says so.
  await kube.create(configMap('unreadable', 'many'))
  await kube.create(configMap('raced', '3'))
  await until('the later number to count', async () => {
    const {number, doubled} = dataOf(await kube.get(ref('raced')))
    return number !== undefined && doubled === String(2 * Number(number))
  })
  // The write that was computed from the number before has not been made.
  expect(acted.filter((line) => line.endsWith('doubles raced'))).toHaveLength(1)
  await until('events', async () => {
    const events = await kube.list({apiVersion: 'v1', kind: 'Event', namespace: 'default'})
    return ['Doubled', 'Invalid'].every((reason) =>
      events.some(
        (event) => event['reason'] === reason && JSON.stringify(event['source']).includes('"tiny"'),
      ),
    )
  })

  // What is deleted waits for it.
  expect((await kube.get(ref('one')))?.metadata.finalizers).toEqual([FINALIZER])
  await kube.delete(ref('one'))
  await until('it to be forgotten', async () => (await kube.get(ref('one'))) === undefined)

  // The other one goes on at once: the Lease is given back.
  const acts = acted.length
  await leader.stop()
  const endedAtMs = performance.now()
  await kube.create(configMap('two', '5'))
  await until('the other one to act', async () => dataOf(await kube.get(ref('two')))['doubled'] === '10')
  expect(performance.now() - endedAtMs).toBeLessThan(LEASE.renewMs)
  const who = new Set(acted.slice(acts).map((line) => line.split(' ')[0]))
  expect(who).toEqual(new Set([leader === first ? 'second' : 'first']))
  await other.stop()
  const lease = {apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace: 'default', name: 'tiny'}
  expect(await kube.get(lease)).toMatchObject({spec: {holderIdentity: ''}})
})
