import {MIGRATION_LABEL} from '../../api/names.ts'
import {labelValue} from '../../api/object-names.ts'
import type {Migration} from '../../api/resources.ts'
import {nodeSchema, podSchema} from '../../kubernetes/pod.ts'
import type {Requeue} from '../../operator/reconciler.ts'
import {step, withStatus, type MigrationAt} from './migration-state.ts'
import {nodeFeaturesOf, placementOf} from './placement.ts'
import {boundVolumes} from './pod-volumes.ts'
import {refTo} from './reconcile-context.ts'
import {ownSpec} from './restored-pod.ts'

/** So many nodes are tried for a pod that is to go to no node in particular. */
export const MOST_TARGETS = 3
const AGAIN_MS = 200

type RefusedTargets = NonNullable<NonNullable<Migration['status']>['refusedTargets']>

/** Refusals of nodes, for people. */
export const refusalsText = (targets: RefusedTargets): string =>
  targets.length === 1
    ? (targets[0]?.message ?? '')
    : targets.map(({nodeName, message}) => `${nodeName}: ${message}`).join('; ')

/** The refusals of a move, with one more. */
export const withRefusal = ({migration}: MigrationAt, nodeName: string, message: string): RefusedTargets => [
  ...(migration.status?.refusedTargets ?? []),
  {nodeName, message},
]

/** Nodes that have refused the pod. */
export const refusedNodes = ({status}: Migration): ReadonlySet<string> =>
  new Set(status?.refusedTargets?.map(({nodeName}) => nodeName))

/**
 * Whether a direct move whose target has just refused the pod can be begun again, to another node: its dump was sent to
 * the one that refused. Not once the source was to be ended.
 */
export async function hasNextTarget({migration, context}: MigrationAt): Promise<boolean> {
  const {metadata, spec, status = {}} = migration
  const refused = refusedNodes(migration)
  const isRefused = refused.has(status.targetNodeName ?? '')
  if (status.way !== 'Direct' || !isRefused || refused.size >= MOST_TARGETS) return false
  if (spec.nodeName !== undefined || status.moveTime !== undefined) return false
  if (metadata.deletionTimestamp !== undefined) return false
  const found = await context.kube.get(refTo('Pod', spec.podName, metadata.namespace))
  if (found === undefined || found.metadata.uid !== status.sourcePodUID) return false
  const pod = podSchema.parse(found)
  const node = context.objects.get('Node', status.sourceNodeName ?? '')
  const {candidates} = placementOf(
    {
      source: node === undefined ? undefined : nodeFeaturesOf(nodeSchema.parse(node)),
      backend: spec.backend ?? 'Handler',
      exceptNode: status.sourceNodeName,
      spec: ownSpec(pod),
      volumes: await boundVolumes(pod.spec, metadata.namespace, context),
    },
    context.objects,
  )
  return candidates.some((candidate) => !refused.has(candidate.node.metadata.name))
}

/** Gives up a target before the source was ended; the move is begun again from there when the pod has been thawed. */
export function leaveTarget(
  at: MigrationAt,
  reason: string,
  refusedTargets: RefusedTargets,
): Promise<Requeue> {
  return step(at, 'RollingBack', {reason, refusedTargets}, refusalsText(refusedTargets))
}

/** Begins a direct move again, when nothing of its last attempt is left; the pod runs meanwhile. */
export async function beginAgain(at: MigrationAt): Promise<Requeue> {
  const {migration, context} = at
  const {metadata, status = {}} = migration
  const ref = refTo('Checkpoint', status.checkpointName ?? '', metadata.namespace)
  const dump = await context.kube.get(ref)
  if (dump?.metadata.labels?.[MIGRATION_LABEL] === labelValue(metadata.name)) {
    context.signal.throwIfAborted()
    if (dump.metadata.deletionTimestamp === undefined)
      await context.kube.delete(ref, dump.metadata.uid === undefined ? {} : {uid: dump.metadata.uid})
    return {requeueAfterMs: AGAIN_MS}
  }
  return step(
    at,
    'Pending',
    {
      ...{targetNodeName: null, targetAnswer: null, missingImages: null, images: null, transfer: null},
      ...{way: null, wayMessage: null, newPodName: null, freezeTime: null, preCopy: null, reason: null},
    },
    `trying another node: ${refusalsText(status.refusedTargets ?? [])}`,
  )
}

/** A move as it is once a node has refused its pod. */
export const refusedBy = (at: MigrationAt, refusedTargets: RefusedTargets): MigrationAt =>
  withStatus(at, {refusedTargets})
