import type {z} from 'zod'
import {API_VERSION} from '../../api/names.ts'
import {isWholeName, labelValue} from '../../api/object-names.ts'
import {readable} from '../../checkpoint/readable.ts'
import type {ResourceKind, StoreSpec} from '../../api/resources.ts'
import type {BlobStore} from '../../checkpoint/stores/blob-store.ts'
import {KubernetesError} from '../../base/errors.ts'
import {refOf} from '../../kubernetes/refs.ts'
import type {KubeClient, KubeObject, ObjectRef} from '../../kubernetes/types.ts'
import type {Log} from '../../operator/log.ts'
import type {ControllerMetrics} from './metrics.ts'

/** Kinds that the controller keeps in sight, with the API version of each. */
export const WATCHED = {
  Pod: 'v1',
  Node: 'v1',
  CertificateSigningRequest: 'certificates.k8s.io/v1',
  CheckpointStore: API_VERSION,
  Checkpoint: API_VERSION,
  Restore: API_VERSION,
  Migration: API_VERSION,
  CheckpointPolicy: API_VERSION,
  Runtime: API_VERSION,
  ContainerHost: API_VERSION,
} as const satisfies Record<ResourceKind | 'Pod' | 'Node' | 'CertificateSigningRequest', string>
export type WatchedKind = keyof typeof WATCHED

/** What was last heard of the objects of the cluster; may be behind. */
export interface Objects {
  get(kind: WatchedKind, name: string, namespace?: string): KubeObject | undefined
  list(kind: WatchedKind, namespace?: string): readonly KubeObject[]
}

/** Processor time of the pods of a node. */
export interface Usage {
  /** Milliseconds since the epoch, by the clock of the node. */
  readonly atMs: number
  /** Milliseconds of processor time since each began, by uid. */
  readonly pods: Readonly<Record<string, number>>
}

/** What reconcilers work with. */
export interface ReconcileContext {
  readonly kube: KubeClient
  readonly objects: Objects
  /** A store that can be reached from here, with its credentials. Throws CheckpointError. */
  readonly openStore: (
    spec: StoreSpec,
    credentials: Readonly<Record<string, string>> | undefined,
  ) => Promise<BlobStore>
  /** Processor time of the pods of a node, as its agent tells it. Throws Error. */
  readonly usageOf: (node: string) => Promise<Usage>
  readonly metrics: ControllerMetrics
  readonly log: Log
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Aborted when this controller must not act any more. */
  readonly signal: AbortSignal
}

/** Undefined: nothing is to be done until something changes. */
export type Requeue = {readonly requeueAfterMs: number} | undefined

/** Brings one kind of object from whatever it is now one or more steps nearer to what it should be. */
export interface Reconciler {
  readonly name: string
  readonly kind: WatchedKind
  /** Objects of that kind to look at again because one of another kind changed. */
  readonly watches?: Partial<
    Record<WatchedKind, (object: KubeObject, objects: Objects) => readonly ObjectRef[]>
  >
  reconcile(object: KubeObject, context: ReconcileContext): Promise<Requeue>
}

/** Somebody changed the object since it was read: it is looked at again at once. */
export class ConflictError extends Error {}

/** Writes the status of an object that is still as it was read. Throws ConflictError. */
export async function writeStatus(
  object: KubeObject,
  status: object,
  context: Pick<ReconcileContext, 'kube' | 'signal'>,
): Promise<KubeObject> {
  context.signal.throwIfAborted()
  const {resourceVersion} = object.metadata
  const guard = resourceVersion === undefined ? {} : {resourceVersion}
  const written = await context.kube.patchStatus(refOf(object), status, guard)
  if (written === undefined) throw new ConflictError(`${object.kind} ${object.metadata.name} has changed`)
  return written
}

/** Makes an object, or finds the one that an earlier attempt made. */
export async function ensure(object: KubeObject, context: ReconcileContext): Promise<KubeObject> {
  context.signal.throwIfAborted()
  const made = (await context.kube.create(object)) ?? (await context.kube.get(refOf(object)))
  if (made === undefined) throw new ConflictError(`${object.kind} ${object.metadata.name} is gone again`)
  return made
}

/**
 * Why the API server does not take an object as it is: Pod Security, a quota, a webhook, a field. Throws what is none of
 * these. A quota may have room later, which the answer does not tell apart.
 */
export function refusalOf(error: unknown): string {
  if (error instanceof KubernetesError && error.code === 'API_REJECTED') return error.message
  throw error
}

/** Takes a finalizer of ours away; the others stay. Throws ConflictError. */
export async function removeFinalizer(
  object: KubeObject,
  finalizer: string,
  context: ReconcileContext,
): Promise<void> {
  context.signal.throwIfAborted()
  const finalizers = (object.metadata.finalizers ?? []).filter((name) => name !== finalizer)
  const next = {...object, metadata: {...object.metadata, finalizers}}
  if (
    (await context.kube.replace(next)) === undefined &&
    (await context.kube.get(refOf(object))) !== undefined
  )
    throw new ConflictError(`${object.kind} ${object.metadata.name} has changed`)
}

/** Throws ConflictError. */
export async function addFinalizer(
  object: KubeObject,
  finalizer: string,
  context: ReconcileContext,
): Promise<KubeObject> {
  const {finalizers = []} = object.metadata
  if (finalizers.includes(finalizer)) return object
  context.signal.throwIfAborted()
  const next = {...object, metadata: {...object.metadata, finalizers: [...finalizers, finalizer]}}
  const written = await context.kube.replace(next)
  if (written === undefined) throw new ConflictError(`${object.kind} ${object.metadata.name} has changed`)
  return written
}

export const refTo = (kind: WatchedKind, name: string, namespace?: string): ObjectRef => ({
  apiVersion: WATCHED[kind],
  kind,
  name,
  ...(namespace === undefined ? {} : {namespace}),
})

/** Objects of a kind as a schema reads them; one that it does not take is left out and told. */
export function parsed<T>(objects: readonly KubeObject[], schema: z.ZodType<T>, log?: Log): readonly T[] {
  return readable(objects, schema, ({kind, metadata: {name, namespace}}, error) =>
    log?.('warn', 'left out an object that is not valid', {kind, namespace, name, error}),
  )
}

/** The object whose name the value of a label stands for. */
export function labelledBy(
  kind: WatchedKind,
  value: string | undefined,
  namespace: string | undefined,
  objects: Objects,
): readonly ObjectRef[] {
  if (value === undefined) return []
  if (isWholeName(value)) return [refTo(kind, value, namespace)]
  return objects
    .list(kind, namespace)
    .filter(({metadata}) => labelValue(metadata.name) === value)
    .map(({metadata}) => refTo(kind, metadata.name, namespace))
}
