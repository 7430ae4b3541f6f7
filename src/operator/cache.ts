import type {z} from 'zod'
import {wordsOfProblem} from '../base/readable.ts'
import type {KubeClient, KubeObject, WatchQuery, WatchState} from '../kubernetes/types.ts'
import {WatchLiveness} from './liveness.ts'
import type {Log} from './log.ts'
import type {Objects} from './reconciler.ts'

/** Objects of one kind that a program follows: all of them, or those that the query selects. */
export interface FollowedKind extends Pick<
  WatchQuery,
  'apiVersion' | 'namespace' | 'labelSelector' | 'fieldSelector' | 'project'
> {
  readonly schema: z.ZodType
}

/** Is told of each change once it can be read, and of each object that is left out, with what is wrong with it. */
export interface ObjectListener<Kind extends string> {
  readonly onChange: (kind: Kind, object: KubeObject) => void
  /** Told of an object that was deleted, as it was when it could be read last. */
  readonly onGone: (kind: Kind, object: KubeObject) => void
  readonly onUnreadable: (kind: Kind, object: KubeObject, problem: string) => void
}

export interface CacheOptions<Kind extends string> {
  readonly kinds: Readonly<Record<Kind, FollowedKind>>
  readonly kube: Pick<KubeClient, 'watch'>
  readonly log: Log
  readonly listener: ObjectListener<Kind>
  /** Default: by a clock of its own. */
  readonly liveness?: WatchLiveness
  /** Milliseconds since the epoch; default: the real clock. */
  readonly now?: () => number
}

/** How current what is known of a kind is. */
export interface KindHealth {
  /** Everything that was there has been read once. */
  readonly isSynced: boolean
  readonly state: WatchState
  /** When this state began: ISO 8601. */
  readonly since: string
  readonly objects: number
  /** Refusals, broken connections, objects that could not be read and changes that were not handled, so far. */
  readonly problems: number
}

interface Followed {
  readonly objects: Map<string, KubeObject>
  readonly unreadable: Map<string, Unreadable>
  isSynced: boolean
  state: WatchState
  sinceMs: number
  problems: number
}

interface Unreadable {
  readonly object: KubeObject
  /** As it was when it could be read last. */
  readonly before: KubeObject | undefined
}

/**
 * Follows every kind that a program looks at. An object that its schema does not take is not among them: nobody who
 * looks at many objects stops at one.
 */
export class ObjectCache<Kind extends string> implements Objects<Kind> {
  readonly #options: CacheOptions<Kind>
  readonly #followed = new Map<Kind, Followed>()
  readonly #liveness: WatchLiveness

  constructor(options: CacheOptions<Kind>) {
    this.#options = options
    this.#liveness = options.liveness ?? new WatchLiveness()
  }

  /**
   * Follows until the signal is aborted; rejects when it cannot go on. `onSynced` is told once, when everything that is
   * there can be read here.
   */
  async follow(signal: AbortSignal, onSynced: () => void): Promise<void> {
    const kinds = Object.keys(this.#options.kinds).filter((kind) => this.#follows(kind))
    let left = kinds.length
    const onOneSynced = (): void => {
      left -= 1
      if (left === 0) onSynced()
    }
    await Promise.all(kinds.map((kind) => this.#followKind(kind, signal, onOneSynced)))
  }

  #follows(kind: string): kind is Kind {
    return kind in this.#options.kinds
  }

  async #followKind(kind: Kind, signal: AbortSignal, onSynced: () => void): Promise<void> {
    const {kube, log, kinds} = this.#options
    const {schema, ...query}: FollowedKind = kinds[kind]
    const followed: Followed = {
      objects: new Map(),
      unreadable: new Map(),
      isSynced: false,
      state: 'syncing',
      sinceMs: this.#now(),
      problems: 0,
    }
    this.#followed.set(kind, followed)
    const onKindSynced = (): void => {
      followed.isSynced = true
      onSynced()
    }
    const onProblem = ({message}: Error): void => {
      followed.problems += 1
      log('warn', 'a watch failed and is retried', {kind, error: message})
    }
    const onState = (state: WatchState): void => {
      followed.state = state
      followed.sinceMs = this.#now()
    }
    const onAlive = (): void => this.#liveness.alive(kind)
    onAlive()
    await kube.watch(
      {...query, kind, onSynced: onKindSynced, onProblem, onState, onAlive},
      ({type, object}) => this.#hear(kind, followed, type === 'DELETED', object),
      signal,
    )
  }

  /** Why the process has to be restarted; undefined: it need not be. */
  problem(): string | undefined {
    return this.#liveness.problem()
  }

  /** Which kinds have not been read yet, and why; undefined: all have been. */
  unready(): string | undefined {
    const unread = [...this.health()].filter(([, {isSynced}]) => !isSynced)
    if (unread.length === 0) return undefined
    return `the initial lists are not complete yet: ${unread.map(([kind, {state, since}]) => `${kind} (${state} since ${since})`).join(', ')}`
  }

  /** Of each kind that is followed. */
  health(): ReadonlyMap<Kind, KindHealth> {
    const entries = [...this.#followed].map(([kind, {objects, isSynced, state, sinceMs, problems}]) => {
      const since = new Date(sinceMs).toISOString()
      return [kind, {isSynced, state, since, objects: objects.size, problems}] as const
    })
    return new Map(entries)
  }

  #now(): number {
    return this.#options.now?.() ?? Date.now()
  }

  get(kind: Kind, name: string, namespace?: string): KubeObject | undefined {
    return this.#followed.get(kind)?.objects.get(keyOf(name, namespace))
  }

  list(kind: Kind, namespace?: string): readonly KubeObject[] {
    const all = [...(this.#followed.get(kind)?.objects.values() ?? [])]
    return namespace === undefined ? all : all.filter(({metadata}) => metadata.namespace === namespace)
  }

  unreadable(kind: Kind): readonly KubeObject[] {
    return [...(this.#followed.get(kind)?.unreadable.values() ?? [])].map(({object}) => object)
  }

  #hear(kind: Kind, {objects, unreadable}: Followed, isGone: boolean, object: KubeObject): void {
    const {kinds, listener} = this.#options
    const key = keyOf(object.metadata.name, object.metadata.namespace)
    const {error} = kinds[kind].schema.safeParse(object)
    const before = objects.get(key) ?? unreadable.get(key)?.before
    objects.delete(key)
    unreadable.delete(key)
    if (isGone) {
      const last = error === undefined ? object : before
      if (last !== undefined) listener.onGone(kind, last)
    } else if (error === undefined) {
      objects.set(key, object)
      listener.onChange(kind, object)
    } else {
      unreadable.set(key, {object, before})
      listener.onUnreadable(kind, object, wordsOfProblem(error))
    }
  }
}

const keyOf = (name: string, namespace: string | undefined): string => `${namespace ?? ''}/${name}`
