import {RESOURCES} from '../../api/resources.ts'
import {nodeSchema, podSchema} from '../../kubernetes/pod.ts'
import type {FollowedKind} from '../../operator/cache.ts'
import {signingRequestSchema} from './kubelet-serving.ts'
import {WATCHED, type WatchedKind} from './reconcile-context.ts'

const ours = (kind: keyof typeof RESOURCES): FollowedKind => ({
  apiVersion: WATCHED[kind],
  schema: RESOURCES[kind].schema,
})

/** What of each kind has to be there for the controller to read it. */
export const FOLLOWED: Readonly<Record<WatchedKind, FollowedKind>> = {
  Pod: {apiVersion: WATCHED.Pod, schema: podSchema},
  Node: {apiVersion: WATCHED.Node, schema: nodeSchema},
  CertificateSigningRequest: {
    apiVersion: WATCHED.CertificateSigningRequest,
    schema: signingRequestSchema,
  },
  CheckpointStore: ours('CheckpointStore'),
  Checkpoint: ours('Checkpoint'),
  Restore: ours('Restore'),
  Migration: ours('Migration'),
  CheckpointPolicy: ours('CheckpointPolicy'),
  Runtime: ours('Runtime'),
  ContainerHost: ours('ContainerHost'),
}
