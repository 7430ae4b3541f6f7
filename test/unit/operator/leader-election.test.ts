import {expect, test} from 'vitest'
import {electLeader} from '../../../src/operator/leader-election.ts'
import {waitFor} from '../../../src/base/waiting.ts'
import {FakeKube} from '../../support/fake-kube.ts'
import {turns, virtualClock} from '../../support/virtual-clock.ts'

const LEASE = {apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace: 'default', name: 'one'}
const never = new AbortController().signal

/** Contenders for one lease, on one clock; `stop` ends one as a signal to its process would. */
function scene() {
  const clock = virtualClock()
  const acting = new Set<string>()
  const history: string[] = []
  const contend = (kube: FakeKube, identity: string) => {
    const over = new AbortController()
    const terms: string[] = []
    const ended = electLeader({
      ...{kube, namespace: 'default', name: 'one', identity, clock},
      ...{leaseMs: 1500, renewMs: 1000, retryMs: 10},
      lead: async (signal) => {
        acting.add(identity)
        expect(acting.size).toBe(1)
        terms.push(identity)
        history.push(`${identity} begins`)
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), {once: true}))
        acting.delete(identity)
        history.push(`${identity} ends`)
      },
      onChange: () => undefined,
      log: () => undefined,
      signal: over.signal,
    })
    return {
      terms,
      stop: async () => {
        over.abort()
        await ended
      },
    }
  }
  const acts = (identity: string): Promise<void> =>
    clock.until(`${identity} to act`, () => [...acting].join() === identity, 8000)
  return {clock, history, contend, acts}
}

const renewals = (kube: FakeKube): number => kube.changes.filter((what) => what.startsWith('update')).length

test('of two one acts, and one that ends gives its lease back for the other', async () => {
  const kube = new FakeKube()
  const {clock, contend, acts} = scene()
  const a = contend(kube, 'a')
  await acts('a')
  const b = contend(kube, 'b')
  const before = renewals(kube)
  await clock.until('a to renew', () => renewals(kube) > before + 3, 8000)
  expect(b.terms).toEqual([])
  await a.stop()
  const stoppedMs = clock.now()
  await acts('b')
  // It was given back, and did not run out.
  expect(clock.now() - stoppedMs).toBeLessThan(100)
  await b.stop()
  expect(await kube.get(LEASE)).toMatchObject({spec: {holderIdentity: '', leaseTransitions: 1}})
})

test('one that cannot renew stops to act before another one begins', async () => {
  const kube = new FakeKube()
  const {clock, history, contend, acts} = scene()
  let cut = false
  // The same server, that answers this one no more.
  const flaky: FakeKube = new Proxy(kube, {
    get(target, name, receiver) {
      if (cut && (name === 'get' || name === 'update')) return () => Promise.reject(new Error('cut off'))
      const value: unknown = Reflect.get(target, name, receiver === flaky ? target : receiver)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
  const a = contend(flaky, 'a')
  await acts('a')
  const b = contend(kube, 'b')
  cut = true
  const cutMs = clock.now()
  await clock.until('a to stop', () => history.length > 1, 8000)
  const aloneMs = clock.now() - cutMs
  await acts('b')
  const takenMs = clock.now() - cutMs
  await a.stop()
  await b.stop()
  expect(history).toEqual(['a begins', 'a ends', 'b begins', 'b ends'])
  // The times of the lease, give or take a few retries.
  expect(aloneMs).toBeGreaterThan(900)
  expect(aloneMs).toBeLessThan(1100)
  expect(takenMs).toBeGreaterThan(1400)
  expect(takenMs).toBeLessThan(1600)
})

test('a lease that somebody holds and renews is not taken, however the clocks differ', async () => {
  const kube = new FakeKube()
  const {clock, contend, acts} = scene()
  const a = contend(kube, 'a')
  await acts('a')
  const lease = await kube.get(LEASE)
  // A clock that is a year behind.
  kube.put({
    ...lease,
    ...LEASE,
    metadata: {name: 'one', namespace: 'default'},
    spec: {...Object(lease?.['spec']), renewTime: '2025-01-01T00:00:00.000000Z'},
  })
  const b = contend(kube, 'b')
  const startedMs = clock.now()
  await clock.until('two leases to last', () => clock.now() - startedMs > 3000, 8000)
  expect(renewals(kube)).toBeGreaterThan(200)
  expect(b.terms).toEqual([])
  await a.stop()
  await b.stop()
})

test('a lease that is another one’s by now is not given back', async () => {
  const kube = new FakeKube()
  const {contend, acts} = scene()
  const a = contend(kube, 'a')
  await acts('a')
  const lease = await kube.get(LEASE)
  kube.put({
    ...LEASE,
    metadata: {name: 'one', namespace: 'default'},
    spec: {...Object(lease?.['spec']), holderIdentity: 'c'},
  })
  await a.stop()
  expect(await kube.get(LEASE)).toMatchObject({spec: {holderIdentity: 'c'}})
})

test('why a lead is lost is in the log', async () => {
  const kube = new FakeKube()
  const over = new AbortController()
  const lines: string[] = []
  const ended = electLeader({
    kube,
    namespace: 'default',
    name: 'one',
    identity: 'a',
    leaseMs: 1500,
    renewMs: 1000,
    retryMs: 10,
    lead: async (signal) => {
      const lease = await kube.get(LEASE)
      if (lease === undefined) throw new Error('no lease')
      kube.put({...lease, spec: {...Object(lease['spec']), holderIdentity: 'b', leaseDurationSeconds: 15}})
      await new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(new Error('cut')), {once: true}),
      )
    },
    onChange: (isLeader) => {
      if (!isLeader) over.abort()
    },
    log: (_, message, facts = {}) => lines.push(`${message} ${JSON.stringify(facts)}`),
    signal: over.signal,
  })
  await ended
  expect(lines).toEqual([
    'leads {"identity":"a"}',
    'leadership lost {"reason":"another instance holds the lease"}',
    'leader work aborted {"error":"Error: cut"}',
    'no longer the leader {"identity":"a"}',
  ])
})

test('a lease whose renewal is on its way is given back too', async () => {
  const kube = new FakeKube()
  const over = new AbortController()
  const renewal = Promise.withResolvers<undefined>()
  let renewals = 0
  const slow: FakeKube = new Proxy(kube, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      const call = value.bind(target) as (...args: unknown[]) => unknown
      if (name === 'get')
        return async (...args: unknown[]) => {
          const found = await call(...args)
          // Written right after the look of somebody who did not wait for it.
          if (over.signal.aborted) {
            renewal.resolve(undefined)
            await turns(20)
          }
          return found
        }
      if (name !== 'update') return call
      return async (...args: unknown[]) => {
        renewals += 1
        if (renewals === 1) await renewal.promise
        return call(...args)
      }
    },
  })
  const ended = electLeader({
    kube: slow,
    ...{namespace: 'default', name: 'one', identity: 'a'},
    ...{leaseMs: 60_000, renewMs: 40_000, retryMs: 1},
    lead: (signal) =>
      new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), {once: true})),
    onChange: () => undefined,
    log: () => undefined,
    signal: over.signal,
  })
  await waitFor({
    what: 'a renewal',
    check: () => Promise.resolve({seen: 'none', ...(renewals > 0 ? {value: true} : {})}),
    timeoutMs: 8000,
    intervalMs: 1,
    signal: never,
  })
  over.abort()
  await turns(20)
  renewal.resolve(undefined)
  await ended
  expect(await kube.get(LEASE)).toMatchObject({spec: {holderIdentity: ''}})
})
