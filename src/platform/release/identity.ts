import {createHash} from 'node:crypto'
import {SYSTEM_NAMESPACE} from '../../api/names.ts'
import {refOf} from '../../kubernetes/refs.ts'
import type {KubeObject, ObjectRef} from '../../kubernetes/types.ts'
import type {ReleaseName} from './types.ts'

/** Labels and annotations of an ApplySet: https://git.k8s.io/enhancements/keps/sig-cli/3659-kubectl-apply-prune */
export const APPLYSET = {
  id: 'applyset.kubernetes.io/id',
  partOf: 'applyset.kubernetes.io/part-of',
  tooling: 'applyset.kubernetes.io/tooling',
  groupKinds: 'applyset.kubernetes.io/contains-group-kinds',
  namespaces: 'applyset.kubernetes.io/additional-namespaces',
} as const
/** Label of what a release created once, and leaves alone since: the id of its ApplySet. */
export const CREATED_ONCE_LABEL = 'clouder.dev/created-once-by'
/** Annotation of a namespace that a release created, and so removes when it is empty: the id of its ApplySet. */
export const CREATED_BY_ANNOTATION = 'clouder.dev/created-by'
/** The field manager of objects that clouder applied before they were part of a release. */
export const FORMER_FIELD_MANAGER = 'clouder'
/** The field manager of inventories and histories. */
export const ENGINE_FIELD_MANAGER = 'clouder-release'

/** Name of the inventory, the lock, and beginning of the names of revisions, all in SYSTEM_NAMESPACE. */
export const recordName = ({owner, name}: ReleaseName): string => `clouder-${owner}-${name}`

export const fieldManagerOf = (name: ReleaseName): string => recordName(name)

export const inventoryRef = (name: ReleaseName) =>
  ({apiVersion: 'v1', kind: 'ConfigMap', namespace: SYSTEM_NAMESPACE, name: recordName(name)}) as const

export function applySetId(name: ReleaseName): string {
  const parent = `${recordName(name)}.${SYSTEM_NAMESPACE}.ConfigMap.`
  return `applyset-${createHash('sha256').update(parent).digest('base64url')}-v1`
}

export const ownerLabels = ({owner, name}: ReleaseName): Readonly<Record<string, string>> => ({
  [`clouder.dev/${owner}`]: name,
})

export const groupOf = ({apiVersion}: {readonly apiVersion: string}): string =>
  apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : ''

/** The identity of an object whatever version of its kind is used. */
export const keyOf = (ref: ObjectRef): string =>
  [groupOf(ref), ref.kind, ref.namespace ?? '', ref.name].join('|')

export const keyOfObject = (object: KubeObject): string => keyOf(refOf(object))
