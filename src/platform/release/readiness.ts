import {z} from 'zod'
import {TimeoutError} from '../../base/errors.ts'
import {waitFor} from '../../base/waiting.ts'
import {describeRef, refOf} from '../../kubernetes/refs.ts'
import type {KubeObject, KubeReader} from '../../kubernetes/types.ts'
import {PlatformError} from '../errors.ts'
import {WAITS, hasReadiness, kindKey, unreadyOf} from './conditions.ts'
import {explainNotReady} from './explain.ts'
import {keyOf, keyOfObject} from './identity.ts'
import {failingContainers} from './pods.ts'
import type {NotReady} from './types.ts'
import {podsOf} from './workload-pods.ts'

const POLL_MS = 1_000
/** What is stuck may be an image that is pushed right now, or a program whose database starts: it is given so long. */
const STUCK_GRACE_MS = 60_000

const claimSchema = z.looseObject({spec: z.looseObject({storageClassName: z.string().nullish()})})
const classSchema = z.looseObject({volumeBindingMode: z.string().optional()})

/** Which of the objects are not ready, by what they and the pods of workloads say: one list for each kind and namespace. */
export async function notReady(
  kube: KubeReader,
  objects: readonly KubeObject[],
): Promise<readonly NotReady[]> {
  const watched = objects.filter(hasReadiness)
  const live = await liveOf(kube, watched)
  const found = watched.flatMap((object): readonly (NotReady & {readonly live?: KubeObject})[] => {
    const ref = refOf(object)
    const there = live.get(keyOf(ref))
    if (there === undefined) return [{ref, problem: 'it does not exist', isStuck: false}]
    const why = unreadyOf(there)
    return why === undefined ? [] : [{ref, ...why, live: there}]
  })
  return Promise.all(found.map((item) => withPods(kube, item)))
}

/** Objects of one kind and namespace in one request; a single one by its name. */
async function liveOf(
  kube: KubeReader,
  objects: readonly KubeObject[],
): Promise<ReadonlyMap<string, KubeObject>> {
  const groups = Map.groupBy(
    objects,
    ({apiVersion, kind, metadata: {namespace = ''}}) => `${apiVersion}|${kind}|${namespace}`,
  )
  const lists = await Promise.all(
    [...groups.values()].map(async (group): Promise<readonly KubeObject[]> => {
      const [first] = group
      if (first === undefined) return []
      const {apiVersion, kind, metadata} = first
      if (group.length === 1) {
        const one = await kube.get(refOf(first))
        return one === undefined ? [] : [one]
      }
      const {namespace} = metadata
      return kube.list({apiVersion, kind, ...(namespace === undefined ? {} : {namespace})})
    }),
  )
  const all = await Promise.all(lists.flat().map((object) => marked(kube, object)))
  return new Map(all.map((object) => [keyOfObject(object), object]))
}

/** A claim that is not bound, as one that waits for its first pod where its class says so. */
async function marked(kube: KubeReader, object: KubeObject): Promise<KubeObject> {
  if (kindKey(object) !== '/PersistentVolumeClaim' || unreadyOf(object) === undefined) return object
  const name = claimSchema.parse(object).spec.storageClassName ?? ''
  if (name === '') return object
  const storageClass = await kube.get({apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass', name})
  const mode = storageClass === undefined ? undefined : classSchema.parse(storageClass).volumeBindingMode
  if (mode !== 'WaitForFirstConsumer') return object
  const {metadata} = object
  return {...object, metadata: {...metadata, annotations: {...metadata.annotations, [WAITS]: 'true'}}}
}

/** Adds what the pods of a workload say: their containers tell more than a count of replicas. */
async function withPods(
  kube: KubeReader,
  {live, ...item}: NotReady & {readonly live?: KubeObject},
): Promise<NotReady> {
  if (live === undefined || item.isStuck) return item
  const pods = kindKey(live) === '/Pod' ? [live] : await podsOf(kube, live)
  const [problem] = await failingContainers(kube, pods)
  if (problem !== undefined) return {...item, problem: problem.problem, isStuck: true}
  const [waiting] = pods.filter((pod) => unreadyOf(pod) !== undefined)
  const why = waiting === undefined || waiting === live ? undefined : unreadyOf(waiting)
  if (why === undefined || waiting === undefined) return item
  return {...item, problem: `${item.problem}; ${describeRef(refOf(waiting))}: ${why.problem}`}
}

export interface ReadyOptions {
  readonly timeoutMs: number
  readonly signal: AbortSignal
  readonly progress: (text: string) => void
  /** So long something may look stuck before the wait ends early. Default: a minute. */
  readonly graceMs?: number
  readonly intervalMs?: number
}

/** Waits until the objects are ready. Throws PlatformError RELEASE_NOT_READY that explains what is not. */
export const waitReady = (
  kube: KubeReader,
  objects: readonly KubeObject[],
  options: ReadyOptions,
): Promise<void> => waitUntilReady(kube, () => notReady(kube, objects), options)

export async function waitUntilReady(
  kube: KubeReader,
  ready: () => Promise<readonly NotReady[]>,
  {timeoutMs, signal, progress, graceMs = STUCK_GRACE_MS, intervalMs = POLL_MS}: ReadyOptions,
): Promise<void> {
  let open: readonly NotReady[] = []
  const stuckSince = new Map<string, number>()
  try {
    const isStuck = await waitFor({
      what: 'the objects to be ready',
      check: async () => {
        open = await ready()
        if (open.length === 0) return {value: false, seen: 'ready'}
        return isStuckTooLong(open, stuckSince, graceMs)
          ? {value: true, seen: seenOf(open)}
          : {seen: seenOf(open)}
      },
      timeoutMs,
      intervalMs,
      signal,
      onSeen: (seen) => progress(`waiting for ${seen}`),
    })
    if (!isStuck) return
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error
    if (open.length === 0) throw error
  }
  throw new PlatformError('RELEASE_NOT_READY', await explainNotReady(kube, open), {
    suggestions: ['repair the cause, then run the same command again'],
  })
}

/** Whether something has been stuck, without a break, for longer than the grace. */
function isStuckTooLong(open: readonly NotReady[], since: Map<string, number>, graceMs: number): boolean {
  const now = performance.now()
  const stuck = new Set(open.filter((item) => item.isStuck).map(({ref}) => keyOf(ref)))
  for (const key of since.keys()) if (!stuck.has(key)) since.delete(key)
  for (const key of stuck) if (!since.has(key)) since.set(key, now)
  return [...since.values()].some((at) => now - at >= graceMs)
}

const seenOf = (open: readonly NotReady[]): string => {
  const [first] = open
  if (first === undefined) return 'nothing'
  const more = open.length === 1 ? '' : ` and ${open.length - 1} more`
  return `${describeRef(first.ref)}: ${first.problem}${more}`
}
