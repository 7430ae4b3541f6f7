import {API_VERSION, RESTORE_ANNOTATION} from '../../api/names.ts'
import {checkpointSchema, migrationSchema, restoreSchema} from '../../api/resources.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import type {FollowedKind} from '../../operator/cache.ts'
import {podSchema} from '../../kubernetes/pod.ts'

/** Kinds that the agent keeps in sight. */
export type AgentKind = 'Checkpoint' | 'Pod' | 'Restore' | 'Migration'

/** What of each kind has to be there for the agent of a node to read it, and what of it is kept. */
export const followedKinds = (node: string): Readonly<Record<AgentKind, FollowedKind>> => ({
  Checkpoint: {apiVersion: API_VERSION, schema: checkpointSchema, project: smallCheckpoint},
  Pod: {apiVersion: 'v1', fieldSelector: `spec.nodeName=${node}`, schema: podSchema, project: smallPod},
  Restore: {apiVersion: API_VERSION, schema: restoreSchema},
  Migration: {apiVersion: API_VERSION, schema: migrationSchema},
})

/** Of all Checkpoints of the cluster: what is large is read from the server by those who work on one. */
function smallCheckpoint(object: KubeObject): KubeObject {
  const {success, data} = checkpointSchema.safeParse(object)
  // As it is, so that it is found out that it cannot be read.
  if (!success) return object
  const {phase, nodeName, podUID, frozen, startTime} = data.status ?? {}
  return {
    ...withoutManagedFields(object),
    ...(data.status === undefined ? {} : {status: {phase, nodeName, podUID, frozen, startTime}}),
  }
}

/** Of a pod that goes on from no checkpoint nothing but its images is looked at. */
function smallPod(object: KubeObject): KubeObject {
  const {success, data} = podSchema.safeParse(object)
  if (!success || data.metadata.annotations[RESTORE_ANNOTATION] !== undefined)
    return withoutManagedFields(object)
  const {name, namespace, uid, resourceVersion, deletionTimestamp} = object.metadata
  const {nodeName, containers} = data.spec
  return {
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: {name, namespace, uid, resourceVersion, deletionTimestamp},
    spec: {nodeName, containers: containers.map(({name: container, image}) => ({name: container, image}))},
  }
}

function withoutManagedFields(object: KubeObject): KubeObject {
  const {managedFields: _, ...metadata} = object.metadata
  return {...object, metadata}
}
