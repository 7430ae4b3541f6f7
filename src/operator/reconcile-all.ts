import {ObjectCache, type FollowedKind, type ObjectListener} from './cache.ts'
import {ConflictError} from '../kubernetes/conflict.ts'
import {refOf} from '../kubernetes/refs.ts'
import type {KubeObject, ObjectRef} from '../kubernetes/types.ts'
import type {WatchLiveness} from './liveness.ts'
import type {Objects, ReconcileContext, Reconciler, Watch} from './reconciler.ts'
import {WorkQueue} from './work-queue.ts'

const CONCURRENCY = 8
const RETRY_MS = {first: 200, most: 60_000} as const
/** Somebody else wrote first; the change is on its way to us. */
const STALE_MS = 100

/** What is reconciled, with what. */
export interface Reconciliation<Kind extends string, Context extends ReconcileContext<Kind>> {
  readonly kinds: Readonly<Record<Kind, FollowedKind>>
  /** Made anew each time that the program leads: what they remember must not outlive that. */
  readonly reconcilers: () => readonly Reconciler<Kind, Context>[]
  /** What the program adds to what every reconciler works with. */
  readonly contextOf: (context: ReconcileContext<Kind>) => Context
  /** Says on an object that its schema does not take why nothing is done about it. */
  readonly onUnreadable?: (kind: Kind, object: KubeObject, problem: string, context: Context) => Promise<void>
  readonly onReconciled?: (reconciler: string, result: 'done' | 'failed') => void
  readonly onSynced?: () => void
  readonly liveness?: WatchLiveness
}

/** Reconciles everything until the signal is aborted: what a program does while it leads. */
export async function reconcileAll<Kind extends string, Context extends ReconcileContext<Kind>>(
  options: Reconciliation<Kind, Context>,
  base: Omit<ReconcileContext<Kind>, 'objects'>,
): Promise<void> {
  const all = options.reconcilers()
  const {log, signal} = base
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
  const wake = (reconciler: Reconciler<Kind, Context>, {namespace, name}: Named): void => {
    const key = `${reconciler.name} ${namespace ?? ''}/${name}`
    keys.set(key, async () => {
      const object = objects.get(reconciler.kind, name, namespace)
      return object === undefined ? void keys.delete(key) : reconcileOne(reconciler, object, context, options)
    })
    queue.add(key)
  }
  const listener: ObjectListener<Kind> = {
    onChange: (kind, object) => {
      for (const reconciler of all)
        for (const ref of wokenBy(reconciler, kind, object, objects)) wake(reconciler, ref)
    },
    onUnreadable: (kind, object, problem) => {
      const {namespace, name} = object.metadata
      const key = `unreadable ${kind} ${namespace ?? ''}/${name}`
      keys.set(key, async () => {
        await options.onUnreadable?.(kind, object, problem, context).catch(unlessStale)
        return void keys.delete(key)
      })
      queue.add(key)
    },
  }
  const {kinds, liveness} = options
  const objects: ObjectCache<Kind> = new ObjectCache({
    kinds,
    kube: base.kube,
    log,
    listener,
    ...(liveness === undefined ? {} : {liveness}),
  })
  const context = options.contextOf({...base, objects})
  const ended = new AbortController()
  const over = AbortSignal.any([signal, ended.signal])
  try {
    // Nothing is decided before everything that is there has been heard of.
    let following = Promise.resolve()
    await new Promise<void>((resolve, reject) => {
      following = objects.follow(over, resolve)
      following.then(resolve, reject)
    })
    if (!over.aborted) options.onSynced?.()
    await Promise.all([following, queue.run(over)])
  } finally {
    ended.abort()
  }
}

type Named = Pick<ObjectRef, 'namespace' | 'name'>

/** Objects for a reconciler to look at because one has changed. */
function wokenBy<Kind extends string, Context>(
  {kind: primary, watches}: Reconciler<Kind, Context>,
  kind: Kind,
  object: KubeObject,
  objects: Objects<Kind>,
): readonly Named[] {
  const own = kind === primary ? [refOf(object)] : []
  const others: Watch<Kind> | undefined = watches?.[kind]
  return others === undefined ? own : [...own, ...others(object, objects)]
}

/** What an object has become meanwhile is told by itself. */
function unlessStale(error: unknown): void {
  if (!(error instanceof ConflictError)) throw error
}

async function reconcileOne<Kind extends string, Context extends ReconcileContext<Kind>>(
  reconciler: Reconciler<Kind, Context>,
  object: KubeObject,
  context: Context,
  {onReconciled}: Pick<Reconciliation<Kind, Context>, 'onReconciled'>,
): Promise<number | undefined> {
  try {
    const requeue = await reconciler.reconcile(object, context)
    onReconciled?.(reconciler.name, 'done')
    return requeue?.requeueAfterMs
  } catch (error) {
    if (error instanceof ConflictError) return STALE_MS
    onReconciled?.(reconciler.name, 'failed')
    throw error
  }
}
