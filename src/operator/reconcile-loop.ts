import {errorMessage} from '../base/errors.ts'
import {ObjectCache, type FollowedKind, type KindHealth, type ObjectListener} from './cache.ts'
import {ConflictError} from '../kubernetes/conflict.ts'
import {refOf} from '../kubernetes/refs.ts'
import type {KubeObject, ObjectRef} from '../kubernetes/types.ts'
import type {Health} from './health.ts'
import type {ReconcileContext, Reconciler, Requeue, Watch} from './reconciler.ts'
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
  /** Beside the reconcilers, once everything that is there has been read; tried again until it succeeds. */
  readonly onSynced?: (context: Context) => Promise<void>
  readonly onReconciled?: (reconciler: string, result: 'done' | 'failed') => void
  /** Objects that are reconciled at the same time. Default: 8. */
  readonly concurrency?: number
  /** Pause after a failure, doubled by each further one. Default: 200 ms to a minute. */
  readonly retryMs?: {readonly first: number; readonly most: number}
}

type Named = Pick<ObjectRef, 'namespace' | 'name'>

/** Reconciles every object that changed, or that is due again. */
export class ReconcileLoop<Kind extends string, Context extends ReconcileContext<Kind>> implements Health {
  readonly #options: Reconciliation<Kind, Context>
  readonly #reconcilers: readonly Reconciler<Kind, Context>[]
  readonly #objects: ObjectCache<Kind>
  readonly #context: Context
  readonly #queue: WorkQueue
  readonly #work = new Map<string, () => Promise<number | undefined>>()
  #failure: string | undefined

  constructor(options: Reconciliation<Kind, Context>, base: Omit<ReconcileContext<Kind>, 'objects'>) {
    const {concurrency = CONCURRENCY, retryMs = RETRY_MS} = options
    const {kube, log, signal} = base
    this.#options = options
    this.#reconcilers = options.reconcilers()
    this.#queue = new WorkQueue({
      concurrency,
      firstMs: retryMs.first,
      mostMs: retryMs.most,
      work: async (key) => this.#work.get(key)?.(),
      onError: (key, error, pauseMs) => {
        if (!signal.aborted) log('warn', 'reconcile failed, retrying', {key, error: String(error), pauseMs})
      },
    })
    const listener: ObjectListener<Kind> = {
      onChange: (kind, object) => {
        for (const reconciler of this.#reconcilers) {
          if (kind === reconciler.kind) this.#wake(reconciler, refOf(object))
          this.#wakeWatching(reconciler, kind, object)
        }
      },
      onGone: (kind, object) => {
        for (const reconciler of this.#reconcilers) {
          if (kind === reconciler.kind) this.#drop(reconciler, object)
          this.#wakeWatching(reconciler, kind, object)
        }
      },
      onUnreadable: (kind, object, problem) => {
        const {namespace, name} = object.metadata
        this.#once(`unreadable ${kind} ${namespace ?? ''}/${name}`, async () => {
          await options.onUnreadable?.(kind, object, problem, this.#context).catch(unlessStale)
          return undefined
        })
      },
    }
    this.#objects = new ObjectCache({kinds: options.kinds, kube, log, listener})
    this.#context = options.contextOf({...base, objects: this.#objects})
  }

  /** Until the signal of the context is aborted, and what was at work then has ended; rejects when a watch ends. */
  async run(): Promise<void> {
    const {onSynced} = this.#options
    const ended = new AbortController()
    const over = AbortSignal.any([this.#context.signal, ended.signal])
    try {
      // Nothing is decided before everything that is there has been heard of.
      let following = Promise.resolve()
      await new Promise<void>((resolve, reject) => {
        following = this.#objects.follow(over, resolve)
        following.then(resolve, reject)
      })
      if (!over.aborted && onSynced !== undefined)
        this.#once('synced', async () => {
          await onSynced(this.#context)
          return undefined
        })
      await Promise.all([following, this.#queue.run(over)])
    } catch (error) {
      this.#failure = `a watch ended: ${errorMessage(error)}`
      throw error
    } finally {
      ended.abort()
    }
  }

  /** Resolves when nothing is under way, and nothing is due. */
  idle(): Promise<void> {
    return this.#queue.idle()
  }

  problem(): string | undefined {
    return this.#failure ?? this.#objects.problem()
  }

  unready(): string | undefined {
    return this.#objects.unready()
  }

  /** Of each kind that is followed. */
  health(): ReadonlyMap<Kind, KindHealth> {
    return this.#objects.health()
  }

  /** To be looked at, as it is by then. */
  #wake(reconciler: Reconciler<Kind, Context>, {namespace, name}: Named): void {
    const key = `${reconciler.name} ${namespace ?? ''}/${name}`
    this.#work.set(key, async () => {
      const object = this.#objects.get(reconciler.kind, name, namespace)
      if (object === undefined) {
        this.#work.delete(key)
        return undefined
      }
      return this.#counted(reconciler, () => reconciler.reconcile(object, this.#context))
    })
    this.#queue.add(key)
  }

  #wakeWatching(reconciler: Reconciler<Kind, Context>, kind: Kind, object: KubeObject): void {
    const watch: Watch<Kind> | undefined = reconciler.watches?.[kind]
    for (const ref of watch?.(object, this.#objects) ?? []) this.#wake(reconciler, ref)
  }

  #drop(reconciler: Reconciler<Kind, Context>, object: KubeObject): void {
    // Finds nothing, and is forgotten.
    this.#wake(reconciler, refOf(object))
    const forget = reconciler.forget?.bind(reconciler)
    if (forget === undefined) return
    const {namespace, name, uid} = object.metadata
    this.#once(`${reconciler.name} ${namespace ?? ''}/${name} gone ${uid ?? ''}`, () =>
      this.#counted(reconciler, () => forget(object, this.#context)),
    )
  }

  /** Does the work that was given last under this key until it succeeds and wants no more. */
  #once(key: string, work: () => Promise<number | undefined>): void {
    const once = async (): Promise<number | undefined> => {
      const requeueAfterMs = await work()
      if (requeueAfterMs === undefined && this.#work.get(key) === once) this.#work.delete(key)
      return requeueAfterMs
    }
    this.#work.set(key, once)
    this.#queue.add(key)
  }

  /** Milliseconds after which to do it again. */
  async #counted(
    {name}: Reconciler<Kind, Context>,
    work: () => Promise<Requeue>,
  ): Promise<number | undefined> {
    const {onReconciled} = this.#options
    try {
      const requeue = await work()
      onReconciled?.(name, 'done')
      return requeue?.requeueAfterMs
    } catch (error) {
      if (error instanceof ConflictError) return STALE_MS
      onReconciled?.(name, 'failed')
      throw error
    }
  }
}

/** What an object has become meanwhile is told by itself. */
function unlessStale(error: unknown): void {
  if (!(error instanceof ConflictError)) throw error
}
