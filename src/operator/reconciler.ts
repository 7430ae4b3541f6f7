import type {KubeClient, KubeObject, ObjectRef} from '../kubernetes/types.ts'
import type {Log} from './log.ts'

/** What was last heard of the objects of the cluster; may be behind. */
export interface Objects<Kind extends string> {
  get(kind: Kind, name: string, namespace?: string): KubeObject | undefined
  list(kind: Kind, namespace?: string): readonly KubeObject[]
  /** Those that the schema of their kind does not take: nothing is done about them. */
  unreadable(kind: Kind): readonly KubeObject[]
}

/** What every reconciler works with; a program adds what its own need. */
export interface ReconcileContext<Kind extends string> {
  readonly kube: KubeClient
  readonly objects: Objects<Kind>
  /** Name of the program: who reports events. */
  readonly component: string
  readonly log: Log
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Aborted when this program must not act any more. */
  readonly signal: AbortSignal
}

/** Undefined: nothing is to be done until something changes. */
export type Requeue = {readonly requeueAfterMs: number} | undefined

/** Which objects are to be looked at because this one changed, or is gone. */
export type Watch<Kind extends string> = (object: KubeObject, objects: Objects<Kind>) => readonly ObjectRef[]

/** Brings one kind of object from whatever it is now one or more steps nearer to what it should be. */
export interface Reconciler<Kind extends string, Context> {
  readonly name: string
  readonly kind: Kind
  /** Objects of that kind to look at again because one of another kind changed. */
  readonly watches?: Partial<Record<Kind, Watch<Kind>>>
  reconcile(object: KubeObject, context: Context): Promise<Requeue>
  /**
   * Tidies up behind an object that was deleted, as it was when it could be read last. For what must not be missed when
   * nobody is there to see the deletion, a finalizer holds the object.
   */
  forget?(object: KubeObject, context: Context): Promise<Requeue>
}
