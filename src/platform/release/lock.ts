import {z} from 'zod'
import {SYSTEM_NAMESPACE} from '../../api/names.ts'
import {ConflictError} from '../../kubernetes/conflict.ts'
import {kubeObjectSchema, type KubeClient, type KubeObject} from '../../kubernetes/types.ts'
import {pause, pauseQuietly} from '../../base/waiting.ts'
import {PlatformError} from '../errors.ts'
import {ownerLabels, recordName} from './identity.ts'
import {permitted} from './refusals.ts'
import type {ReleaseName} from './types.ts'

/** A lock that was not renewed for so long is taken over: its holder is dead. */
const LEASE_MS = 10_000
const RENEW_MS = 3_000
const POLL_MS = 500
/** No clock of a machine of a cluster is off by more. */
const CLOCK_SKEW_MS = 60_000

const leaseSchema = kubeObjectSchema.extend({
  spec: z.looseObject({holderIdentity: z.string().nullish(), renewTime: z.string().nullish()}).default({}),
})

export interface LockOptions {
  readonly signal: AbortSignal
  readonly now: () => number
  /** Who acts, for the message of another run: `ops@laptop, process 4711`. */
  readonly holder: string
  /** Whether a holder is surely dead: one of a machine that lets only this run work now. Default: nobody is. */
  readonly isStaleHolder?: ((holder: string) => boolean) | undefined
}

/**
 * Works while it holds the lock of a release; the signal is aborted when the lock is lost. Throws PlatformError
 * RELEASE_LOCKED where another run that is alive holds it.
 */
export async function withLock<T>(
  kube: KubeClient,
  name: ReleaseName,
  options: LockOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const {signal} = options
  const lock = {...options, kube, name}
  let held = await permitted(kube, leaseRef(name), ['get', 'create', 'update'], () => acquire(lock))
  const over = new AbortController()
  const lost = new AbortController()
  const renewing = (async () => {
    let renewedAtMs = performance.now()
    for (;;) {
      await pauseQuietly(RENEW_MS, over.signal)
      if (over.signal.aborted) return
      try {
        held = await kube.update(leaseOf(lock, held))
        renewedAtMs = performance.now()
      } catch (error) {
        if (error instanceof ConflictError || performance.now() - renewedAtMs > LEASE_MS - RENEW_MS) {
          lost.abort(lockedError(name, 'another run took the lock over', error))
          return
        }
      }
    }
  })()
  try {
    return await work(AbortSignal.any([signal, lost.signal]))
  } finally {
    over.abort()
    await renewing
    const {uid, resourceVersion} = held.metadata
    // A lock that stays expires.
    await kube.delete(leaseRef(name), {uid, resourceVersion}).catch(() => undefined)
  }
}

type Lock = LockOptions & {readonly kube: KubeClient; readonly name: ReleaseName}

async function acquire(lock: Lock): Promise<KubeObject> {
  const {kube, name, signal, now, isStaleHolder = () => false} = lock
  let seen: {readonly version: string | undefined; readonly atMs: number} | undefined
  for (;;) {
    signal.throwIfAborted()
    const lease = await kube.get(leaseRef(name))
    if (lease === undefined) {
      const made = await kube.create(leaseOf(lock))
      if (made !== undefined) return made
      continue
    }
    const {spec, metadata} = leaseSchema.parse(lease)
    const {holderIdentity, renewTime} = spec
    if (seen !== undefined && seen.version !== metadata.resourceVersion)
      throw lockedError(
        name,
        `${holderIdentity ?? 'another run'} is changing it, and was active at ${renewTime ?? 'an unknown time'}`,
      )
    seen ??= {version: metadata.resourceVersion, atMs: performance.now()}
    const isStale = isStaleHolder(holderIdentity ?? '')
    const isOld = now() - Date.parse(renewTime ?? '') > LEASE_MS + CLOCK_SKEW_MS
    if (isStale || isOld || performance.now() - seen.atMs > LEASE_MS) {
      try {
        return await kube.update(leaseOf(lock, lease))
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error
        seen = undefined
      }
    }
    await pause(POLL_MS, signal)
  }
}

const lockedError = ({owner, name}: ReleaseName, why: string, cause?: unknown): PlatformError =>
  new PlatformError('RELEASE_LOCKED', `${owner} ${name} is locked: ${why}`, {
    cause,
    suggestions: ['wait for the other run to end; the lock of a killed run expires by itself'],
  })

const leaseRef = (name: ReleaseName) =>
  ({
    ...{apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace: SYSTEM_NAMESPACE},
    name: recordName(name),
  }) as const

function leaseOf({name, holder, now}: Lock, before?: KubeObject): KubeObject {
  const {apiVersion, kind, namespace, name: leaseName} = leaseRef(name)
  const metadata = before?.metadata ?? {name: leaseName, namespace, labels: ownerLabels(name)}
  // Kubernetes wants microseconds.
  const renewTime = new Date(now()).toISOString().replace('Z', '000Z')
  const spec = {holderIdentity: holder, leaseDurationSeconds: LEASE_MS / 1000, renewTime}
  return {apiVersion, kind, metadata, spec}
}
