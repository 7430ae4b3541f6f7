import type {z} from 'zod'
import {wordsOfProblem} from '../base/readable.ts'
import type {KubeClient, KubeObject, WatchQuery} from '../kubernetes/types.ts'
import type {Log} from './log.ts'
import type {Objects} from './reconciler.ts'

/** Objects of one kind that a program follows: all of them, or those that the query selects. */
export interface FollowedKind extends Pick<
  WatchQuery,
  'apiVersion' | 'namespace' | 'labelSelector' | 'fieldSelector'
> {
  readonly schema: z.ZodType
}

/** Is told of each change once it can be read, and of each object that is left out, with what is wrong with it. */
export interface ObjectListener<Kind extends string> {
  readonly onChange: (kind: Kind, object: KubeObject) => void
  readonly onUnreadable: (kind: Kind, object: KubeObject, problem: string) => void
}

export interface CacheOptions<Kind extends string> {
  readonly kinds: Readonly<Record<Kind, FollowedKind>>
  readonly kube: Pick<KubeClient, 'watch'>
  readonly log: Log
  readonly listener: ObjectListener<Kind>
}

/**
 * Follows every kind that a program looks at. An object that its schema does not take is not among them: nobody who
 * looks at many objects stops at one.
 */
export class ObjectCache<Kind extends string> implements Objects<Kind> {
  readonly #options: CacheOptions<Kind>
  readonly #objects = new Map<string, Map<string, KubeObject>>()

  constructor(options: CacheOptions<Kind>) {
    this.#options = options
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
    this.#objects.set(kind, new Map())
    const onProblem = ({message}: Error): void =>
      log('warn', 'a watch broke and is tried again', {kind, error: message})
    await kube.watch(
      {...query, kind, onSynced, onProblem},
      ({type, object}) => this.#hear(kind, type === 'DELETED', object),
      signal,
    )
  }

  get(kind: Kind, name: string, namespace?: string): KubeObject | undefined {
    return this.#objects.get(kind)?.get(keyOf(name, namespace))
  }

  list(kind: Kind, namespace?: string): readonly KubeObject[] {
    const all = [...(this.#objects.get(kind)?.values() ?? [])]
    return namespace === undefined ? all : all.filter(({metadata}) => metadata.namespace === namespace)
  }

  #hear(kind: Kind, gone: boolean, object: KubeObject): void {
    const {kinds, listener} = this.#options
    const key = keyOf(object.metadata.name, object.metadata.namespace)
    const objects = this.#objects.get(kind)
    // Half of an object's size, and nobody reads it.
    const {managedFields, ...metadata} = object.metadata
    const kept = {...object, metadata}
    const {error} = kinds[kind].schema.safeParse(kept)
    if (gone || error !== undefined) objects?.delete(key)
    else objects?.set(key, kept)
    if (error === undefined) listener.onChange(kind, kept)
    else if (!gone) listener.onUnreadable(kind, kept, wordsOfProblem(error))
  }
}

const keyOf = (name: string, namespace: string | undefined): string => `${namespace ?? ''}/${name}`
