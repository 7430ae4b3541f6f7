import type {KubeClient, KubeObject} from '../../kubernetes/types.ts'
import {nodeSchema, podSchema} from '../../kubernetes/pod.ts'
import {wordsOfProblem} from '../../checkpoint/readable.ts'
import {RESOURCES} from '../../api/resources.ts'
import {signingRequestSchema} from './kubelet-serving.ts'
import type {Log} from '../../operator/log.ts'
import type {FollowedObjects, ObjectListener} from '../../operator/reconcile-all.ts'
import {WATCHED, type WatchedKind} from './reconcile-context.ts'

const keyOf = (name: string, namespace: string | undefined): string => `${namespace ?? ''}/${name}`

const OTHERS = {Pod: podSchema, Node: nodeSchema, CertificateSigningRequest: signingRequestSchema} as const

const schemaOf = (kind: WatchedKind) =>
  kind === 'Pod' || kind === 'Node' || kind === 'CertificateSigningRequest'
    ? OTHERS[kind]
    : RESOURCES[kind].schema

/**
 * Follows every kind that the controller looks at. An object that its schema does not take is not among them: nobody who looks at many objects stops at one.
 */
export class ObjectCache implements FollowedObjects<WatchedKind> {
  readonly #kinds = new Map<WatchedKind, Map<string, KubeObject>>()
  readonly #kube: KubeClient
  readonly #log: Log
  readonly #listener: ObjectListener<WatchedKind>

  constructor(kube: KubeClient, log: Log, listener: ObjectListener<WatchedKind>) {
    this.#kube = kube
    this.#log = log
    this.#listener = listener
  }

  async follow(signal: AbortSignal, onSynced: () => void): Promise<void> {
    const kinds = Object.keys(WATCHED).filter(isWatched)
    let left = kinds.length
    await Promise.all(
      kinds.map((kind) => {
        this.#kinds.set(kind, new Map())
        return this.#kube.watch(
          {
            apiVersion: WATCHED[kind],
            kind,
            onSynced: () => {
              left -= 1
              if (left === 0) onSynced()
            },
            onProblem: ({message}) =>
              this.#log('warn', 'a watch broke and is tried again', {kind, error: message}),
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
    if (error === undefined) this.#listener.onChange(kind, kept)
    else if (!gone) this.#listener.onUnreadable(kind, kept, wordsOfProblem(error))
  }
}

const isWatched = (kind: string): kind is WatchedKind => kind in WATCHED
