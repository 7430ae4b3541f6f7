import {setImmediate as turn} from 'node:timers/promises'
import {Registry} from 'prom-client'
import {ObjectCache} from '../../src/operator/cache.ts'
import {FOLLOWED} from '../../src/programs/controller/followed-kinds.ts'
import {controllerMetrics} from '../../src/programs/controller/metrics.ts'
import {reconcilers} from '../../src/programs/controller/reconcilers.ts'
import {ConflictError} from '../../src/kubernetes/conflict.ts'
import type {ReconcileContext, WatchedKind} from '../../src/programs/controller/reconcile-context.ts'
import {isTransient} from '../../src/base/errors.ts'
import {CheckpointError} from '../../src/checkpoint/errors.ts'
import type {KubeClient} from '../../src/kubernetes/types.ts'

export interface DrivenOptions {
  readonly kube: KubeClient
  readonly now: () => number
  readonly openStore?: ReconcileContext['openStore']
  readonly usageOf?: ReconcileContext['usageOf']
}

/** A controller without time of its own: each `round` looks at every object once, in place of a queue. */
export class DrivenController {
  readonly registry = new Registry()
  readonly #options: DrivenOptions
  readonly #over = new AbortController()
  readonly #cache: ObjectCache<WatchedKind>
  readonly #reconcilers = reconcilers()
  readonly #context: ReconcileContext
  #following: Promise<void> | undefined

  constructor(options: DrivenOptions) {
    this.#options = options
    const unheard = {onChange: () => undefined, onGone: () => undefined, onUnreadable: () => undefined}
    this.#cache = new ObjectCache({
      kinds: FOLLOWED,
      kube: options.kube,
      log: () => undefined,
      listener: unheard,
    })
    this.#context = {
      kube: options.kube,
      component: 'clouder-controller',
      objects: this.#cache,
      openStore:
        options.openStore ??
        (() => Promise.reject(new CheckpointError('STORE_UNREACHABLE', 'there is no store here'))),
      usageOf: options.usageOf ?? (() => Promise.reject(new Error('there is no agent here'))),
      metrics: controllerMetrics(this.registry),
      log: () => undefined,
      now: options.now,
      signal: this.#over.signal,
    }
  }

  /** Looks at every object once; gives the shortest time after which one of them wants to be looked at again. */
  async round(): Promise<number> {
    this.#following ??= this.#cache.follow(this.#over.signal, () => undefined)
    await turn()
    const waits: number[] = []
    for (const reconciler of this.#reconcilers) {
      for (const object of this.#cache.list(reconciler.kind)) {
        try {
          const again = await reconciler.reconcile(object, this.#context)
          if (again !== undefined) waits.push(again.requeueAfterMs)
        } catch (error) {
          if (!(error instanceof ConflictError) && !isTransient(error)) throw error
          waits.push(0)
        }
      }
    }
    await turn()
    return Math.min(...waits, 60_000)
  }

  /** Dies: nothing of it goes on. */
  async end(): Promise<void> {
    this.#over.abort()
    await this.#following
  }
}
