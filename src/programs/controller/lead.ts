import type {Usage} from '../../api/usage.ts'
import {KubernetesError} from '../../base/errors.ts'
import type {KubeObject, ObjectRef} from '../../kubernetes/types.ts'
import {ObjectCache} from './cache.ts'
import {reconcilers} from './reconcilers.ts'
import {tellUnreadable} from './unreadable.ts'
import {WorkQueue} from '../../operator/work-queue.ts'
import {ConflictError} from '../../operator/writes.ts'
import {refTo, type Reconciler, type WatchedKind, type ReconcileContext} from './reconcile-context.ts'

const CONCURRENCY = 8
const RETRY_MS = {first: 200, most: 60_000} as const
/** Somebody else wrote first; the change is on its way to us. */
const STALE_MS = 100

/** What is there before anything has been heard of. */
export interface Outside extends Omit<ReconcileContext, 'objects' | 'usageOf'> {
  readonly usageOf: (
    node: string,
    objects: ReconcileContext['objects'],
    signal: AbortSignal,
  ) => Promise<Usage>
}

/** Reconciles everything until the signal is aborted: what this process does while it leads. */
export async function lead(outside: Outside): Promise<void> {
  const all = reconcilers()
  const {kube, log, signal} = outside
  const keys = new Map<string, () => Promise<number | undefined>>()
  const queue = new WorkQueue({
    concurrency: CONCURRENCY,
    firstMs: RETRY_MS.first,
    mostMs: RETRY_MS.most,
    work: async (key) => keys.get(key)?.(),
    onError: (key, error) => {
      if (!signal.aborted) log('warn', 'a look failed and is tried again', {key, error: String(error)})
    },
  })
  const wake = (reconciler: Reconciler, ref: ObjectRef): void => {
    const key = `${reconciler.name} ${ref.namespace ?? ''}/${ref.name}`
    keys.set(key, async () => {
      const object = cache.get(reconciler.kind, ref.name, ref.namespace)
      return object === undefined ? void keys.delete(key) : reconcileOne(reconciler, object, context)
    })
    queue.add(key)
  }
  const cache = new ObjectCache(
    (kind, object) => {
      for (const reconciler of all)
        for (const ref of watches(reconciler, kind, object, cache)) wake(reconciler, ref)
    },
    (kind, object, problem) => {
      const key = `unreadable ${kind} ${object.metadata.namespace ?? ''}/${object.metadata.name}`
      keys.set(key, async () => {
        await tellUnreadable(kind, object, problem, context).catch(unlessStale)
        return void keys.delete(key)
      })
      queue.add(key)
    },
  )
  const context: ReconcileContext = {
    ...outside,
    objects: cache,
    usageOf: (node) => outside.usageOf(node, cache, signal),
  }
  const ended = new AbortController()
  const over = AbortSignal.any([signal, ended.signal])
  try {
    // Nothing is decided before everything that is there has been heard of.
    let following = Promise.resolve()
    await new Promise<void>((resolve, reject) => {
      following = cache.follow(kube, log, over, resolve)
      following.then(resolve, reject)
    })
    await Promise.all([following, queue.run(over)])
  } finally {
    ended.abort()
  }
}

/** Objects for a reconciler to look at because one has changed. */
export function watches(
  {kind: primary, watches: others}: Reconciler,
  kind: WatchedKind,
  object: KubeObject,
  objects: ReconcileContext['objects'],
): readonly ObjectRef[] {
  const {name, namespace} = object.metadata
  const own = kind === primary ? [refTo(kind, name, namespace)] : []
  return [...own, ...(others?.[kind]?.(object, objects) ?? [])]
}

/** What an object has become meanwhile is told by itself. */
function unlessStale(error: unknown): void {
  if (!(error instanceof ConflictError)) throw error
}

async function reconcileOne(
  reconciler: Reconciler,
  object: KubeObject,
  context: ReconcileContext,
): Promise<number | undefined> {
  try {
    const again = await reconciler.reconcile(object, context)
    context.metrics.reconciled(reconciler.name, 'done')
    return again?.requeueAfterMs
  } catch (error) {
    const isStale = error instanceof KubernetesError && error.code === 'API_CONFLICT'
    if (error instanceof ConflictError || isStale) return STALE_MS
    context.metrics.reconciled(reconciler.name, 'failed')
    throw error
  }
}
