import type {z} from 'zod'
import {API_VERSION} from '../../api/names.ts'
import {isWholeName, labelValue} from '../../api/object-names.ts'
import {readable} from '../../base/readable.ts'
import type {Usage} from '../../api/usage.ts'
import type {ResourceKind, StoreSpec} from '../../api/resources.ts'
import type {BlobStore} from '../../checkpoint/stores/blob-store.ts'
import type {KubeObject, ObjectRef} from '../../kubernetes/types.ts'
import type {Log} from '../../operator/log.ts'
import type * as operator from '../../operator/reconciler.ts'
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

export type Objects = operator.Objects<WatchedKind>

/** What reconcilers work with. */
export interface ReconcileContext extends operator.ReconcileContext<WatchedKind> {
  /** A store that can be reached from here, with its credentials. Throws CheckpointError. */
  readonly openStore: (
    spec: StoreSpec,
    credentials: Readonly<Record<string, string>> | undefined,
  ) => Promise<BlobStore>
  /** Processor time of the pods of a node, as its agent tells it. Throws Error. */
  readonly usageOf: (node: string) => Promise<Usage>
  readonly metrics: ControllerMetrics
}

export type Reconciler = operator.Reconciler<WatchedKind, ReconcileContext>

export const refTo = (kind: WatchedKind, name: string, namespace?: string): ObjectRef => ({
  apiVersion: WATCHED[kind],
  kind,
  name,
  ...(namespace === undefined ? {} : {namespace}),
})

/** Objects of a kind as a schema reads them; one that it does not take is left out and told. */
export function parsed<T>(objects: readonly KubeObject[], schema: z.ZodType<T>, log?: Log): readonly T[] {
  return readable(objects, schema, ({kind, metadata: {name, namespace}}, error) =>
    log?.('warn', 'ignored an invalid object', {kind, namespace, name, error}),
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
