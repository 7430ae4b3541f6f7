import type {KubeClient, KubeObject} from '../../kubernetes/types.ts'
import {nodeSchema, podSchema} from '../../kubernetes/pod.ts'
import {wordsOfProblem} from '../../checkpoint/readable.ts'
import {RESOURCES} from '../../api/resources.ts'
import {signingRequestSchema} from './kubelet-serving.ts'
import type {Log} from '../../operator/log.ts'
import {WATCHED, type Objects, type WatchedKind} from './reconcile-context.ts'

const keyOf = (name: string, namespace: string | undefined): string => `${namespace ?? ''}/${name}`

/** Is told of an object that is left out, with what is wrong with it. */
export type OnUnreadable = (kind: WatchedKind, object: KubeObject, problem: string) => void

const OTHERS = {Pod: podSchema, Node: nodeSchema, CertificateSigningRequest: signingRequestSchema} as const

const schemaOf = (kind: WatchedKind) =>
  kind === 'Pod' || kind === 'Node' || kind === 'CertificateSigningRequest'
    ? OTHERS[kind]
    : RESOURCES[kind].schema

/**
 * Follows every kind that the controller looks at; `onChange` is told of each change once it can be read here. An
 * object that its schema does not take is not among them: nobody who looks at many objects stops at one.
 */
export class ObjectCache implements Objects {
  readonly #kinds = new Map<WatchedKind, Map<string, KubeObject>>()
  readonly #onChange: (kind: WatchedKind, object: KubeObject) => void
  readonly #onUnreadable: OnUnreadable

  constructor(
    onChange: (kind: WatchedKind, object: KubeObject) => void,
    onUnreadable: OnUnreadable = () => undefined,
  ) {
    this.#onChange = onChange
    this.#onUnreadable = onUnreadable
  }

  /** Follows until the signal is aborted. `onSynced` is told once, when everything that is there can be read here. */
  async follow(kube: KubeClient, log: Log, signal: AbortSignal, onSynced: () => void): Promise<void> {
    const kinds = Object.keys(WATCHED).filter(isWatched)
    let left = kinds.length
    await Promise.all(
      kinds.map((kind) => {
        this.#kinds.set(kind, new Map())
        return kube.watch(
          {
            apiVersion: WATCHED[kind],
            kind,
            onSynced: () => {
              left -= 1
              if (left === 0) onSynced()
            },
            onProblem: ({message}) => log('warn', 'a watch broke and is tried again', {kind, error: message}),
          },
          ({type, object}) => this.#hear(kind, type === 'DELETED', object),
          signal,
        )
      }),
    )
  }

  get(kind: WatchedKind, name: string, namespace?: string): KubeObject | undefined {
    return this.#kinds.get(kind)?.get(keyOf(name, namespace))
  }

  list(kind: WatchedKind, namespace?: string): readonly KubeObject[] {
    const all = [...(this.#kinds.get(kind)?.values() ?? [])]
    return namespace === undefined ? all : all.filter(({metadata}) => metadata.namespace === namespace)
  }

  #hear(kind: WatchedKind, gone: boolean, object: KubeObject): void {
    const {name, namespace} = object.metadata
    const objects = this.#kinds.get(kind)
    // Half of an object's size, and nobody reads it.
    const {managedFields, ...metadata} = object.metadata
    const kept = {...object, metadata}
    const {error} = schemaOf(kind).safeParse(kept)
    if (gone || error !== undefined) objects?.delete(keyOf(name, namespace))
    else objects?.set(keyOf(name, namespace), kept)
    if (error === undefined) this.#onChange(kind, kept)
    else if (!gone) this.#onUnreadable(kind, kept, wordsOfProblem(error))
  }
}

const isWatched = (kind: string): kind is WatchedKind => kind in WATCHED
