import {z} from 'zod'
import {ConflictError} from '../kubernetes/conflict.ts'
import {kubeObjectSchema, type KubeClient, type KubeObject} from '../kubernetes/types.ts'
import {pauseQuietly} from '../base/waiting.ts'
import type {Log} from './log.ts'

/** How time is measured and waited for. */
export interface Clock {
  readonly now: () => number
  /** Ends early, and without an error, when the signal is aborted. */
  readonly pause: (durationMs: number, signal: AbortSignal) => Promise<void>
}

export const MONOTONIC_CLOCK: Clock = {now: () => performance.now(), pause: pauseQuietly}

export interface LeaderOptions {
  readonly kube: KubeClient
  readonly namespace: string
  /** Name of the Lease. */
  readonly name: string
  /** Who we are: name of the pod. */
  readonly identity: string
  /** A Lease that was not renewed for so long is taken over: 15 s. */
  readonly leaseMs: number
  /** A leader that could not renew for so long stops to act, before another one may begin: 10 s. */
  readonly renewMs: number
  readonly retryMs: number
  /** Acts while it leads; its signal is aborted when it must stop. */
  readonly lead: (signal: AbortSignal) => Promise<void>
  readonly onChange: (isLeader: boolean) => void
  readonly log: Log
  /** Default: MONOTONIC_CLOCK. */
  readonly clock?: Clock
  readonly signal: AbortSignal
}

const leaseSchema = kubeObjectSchema.extend({
  spec: z
    .looseObject({
      holderIdentity: z.string().nullish(),
      leaseDurationSeconds: z.int().nullish(),
      renewTime: z.string().nullish(),
      leaseTransitions: z.int().nullish(),
    })
    .default({}),
})
type Lease = z.output<typeof leaseSchema>

/**
 * One of several acts: who holds the Lease. Times are measured by the own clock, from when a change of the Lease was
 * seen, so that clocks that differ do no harm. When the signal is aborted the Lease is given back.
 */
export async function electLeader(given: LeaderOptions): Promise<void> {
  const options: Election = {clock: MONOTONIC_CLOCK, ...given}
  const {signal, onChange, log, identity} = options
  const seen: Seen = {version: undefined, atMs: 0}
  while (!signal.aborted) {
    const acquired = await tryLease(options, seen).catch((error: unknown) => {
      log('warn', 'lease not reachable', {error: String(error)})
      return false
    })
    if (acquired) {
      log('info', 'leads', {identity})
      onChange(true)
      try {
        await leadWhileHeld(options, seen)
      } finally {
        onChange(false)
        log('info', 'no longer the leader', {identity})
      }
    }
    await options.clock.pause(options.retryMs, signal)
  }
}

type Election = LeaderOptions & {readonly clock: Clock}

/** The Lease as it was last seen, and when it was first seen so. */
interface Seen {
  version: string | undefined
  atMs: number
}

async function leadWhileHeld(options: Election, seen: Seen): Promise<void> {
  const {signal, renewMs, retryMs, lead, log, clock} = options
  const lost = new AbortController()
  const over = AbortSignal.any([signal, lost.signal])
  const leading = lead(over).finally(() => lost.abort())
  let isLost = false
  let renewedAtMs = clock.now()
  let asked: Promise<boolean | undefined> = Promise.resolve(true)
  for (;;) {
    await clock.pause(retryMs, over)
    if (over.aborted) break
    const leftMs = renewedAtMs + renewMs - clock.now()
    const askedAtMs = clock.now()
    const decided = new AbortController()
    asked = tryLease(options, seen).catch((error: unknown) => {
      log('warn', 'lease not renewed', {error: String(error)})
      return undefined
    })
    const held = await Promise.race([
      asked,
      clock.pause(Math.max(0, leftMs), AbortSignal.any([over, decided.signal])).then(() => undefined),
    ])
    decided.abort()
    // Counted from the question: the answer may have been long on its way.
    if (held === true) renewedAtMs = askedAtMs
    if (held === false || clock.now() - renewedAtMs >= renewMs) {
      isLost = true
      const reason =
        held === false ? 'another instance holds the lease' : `it was not renewed for ${renewMs / 1000} s`
      log('warn', 'leadership lost', {reason})
      lost.abort()
    }
  }
  try {
    await leading
  } catch (error) {
    // Who has to stop is cut off in the middle; any other error is one, and ends the process.
    if (!signal.aborted && !isLost) throw error
    if (isLost) log('info', 'leader work aborted', {error: String(error)})
  } finally {
    if (!isLost) {
      // A renewal that is on its way would be written in between, and the Lease be kept until it runs out.
      await within(renewMs, asked, clock)
      await giveBack(options)
    }
  }
}

/** Resolves when the promise does, or after so long. */
async function within(ms: number, promise: Promise<unknown>, clock: Clock): Promise<void> {
  const settled = new AbortController()
  await Promise.race([promise, clock.pause(ms, settled.signal)])
  settled.abort()
}

/** True: ours, renewed. False: another's. */
async function tryLease(options: Election, seen: Seen): Promise<boolean> {
  const {kube, identity, leaseMs, clock} = options
  const ref = refOf(options)
  const found = await kube.get(ref)
  if (found === undefined) {
    const made = await kube.create(leaseObject(options, undefined))
    return made !== undefined
  }
  const lease = leaseSchema.parse(found)
  if (lease.metadata.resourceVersion !== seen.version) {
    seen.version = lease.metadata.resourceVersion
    seen.atMs = clock.now()
  }
  const {holderIdentity} = lease.spec
  const free = holderIdentity === undefined || holderIdentity === null || holderIdentity === ''
  const expired = clock.now() - seen.atMs > leaseMs
  if (holderIdentity !== identity && !free && !expired) return false
  const written = await kube.update(leaseObject(options, lease)).catch(unlessConflict)
  if (written === undefined) return false
  seen.version = written.metadata.resourceVersion
  seen.atMs = clock.now()
  return true
}

function leaseObject({identity, leaseMs, ...options}: LeaderOptions, before: Lease | undefined): KubeObject {
  const {apiVersion, kind, name, namespace} = refOf(options)
  const time = new Date().toISOString().replace('Z', '000Z')
  const ours = before?.spec.holderIdentity === identity
  const transitions = before?.spec.leaseTransitions ?? 0
  return {
    apiVersion,
    kind,
    ...before,
    metadata: before?.metadata ?? {name, namespace},
    spec: {
      ...before?.spec,
      holderIdentity: identity,
      leaseDurationSeconds: Math.max(1, Math.round(leaseMs / 1000)),
      renewTime: time,
      ...(ours ? {} : {acquireTime: time, leaseTransitions: before === undefined ? 0 : transitions + 1}),
    },
  }
}

/** Another one was quicker. */
function unlessConflict(error: unknown): undefined {
  if (!(error instanceof ConflictError)) throw error
}

/** So that the next one need not wait until the Lease runs out. */
async function giveBack(options: LeaderOptions): Promise<void> {
  try {
    const found = await options.kube.get(refOf(options))
    if (found === undefined) return
    const lease = leaseSchema.parse(found)
    if (lease.spec.holderIdentity !== options.identity) return
    await options.kube.update({...lease, spec: {...lease.spec, holderIdentity: ''}})
  } catch (error) {
    options.log('warn', 'lease not released', {error: String(error)})
  }
}

const refOf = ({namespace, name}: Pick<LeaderOptions, 'namespace' | 'name'>) =>
  ({apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace, name}) as const
