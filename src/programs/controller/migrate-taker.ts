import type {Checkpoint} from '../../api/resources.ts'
import {boundVolumes} from './pod-volumes.ts'
import {
  leaveTarget,
  MOST_TARGETS,
  refusalsText,
  refusedBy,
  refusedNodes,
  withRefusal,
} from './migrate-next-target.ts'
import {checkpointOf, updateStatus, type MigrationAt} from './migration-state.ts'
import {placementOf, refusalText} from './placement.ts'
import {ownSpec} from './restored-pod.ts'
import {timeText} from '../../base/time.ts'
import type {Requeue} from '../../operator/reconciler.ts'

/** The answer wakes it sooner. */
const AGAIN_MS = 10_000

export const asks = (target: string): string => `checking whether ${target} can restore the pod`

type Taker =
  | {readonly node: string; readonly reason?: undefined; readonly message?: undefined}
  | {readonly node?: undefined; readonly reason: string; readonly message: string}

/**
 * The node that is to go on with what was saved, the one that was asked before as long as it can, and none that refused;
 * or why none can.
 */
export async function takerOf(
  taken: Checkpoint | undefined,
  {migration, context}: MigrationAt,
): Promise<Taker> {
  const {metadata, spec, status = {}} = migration
  const {podTemplate, nodeFeatures: source} = taken?.status ?? {}
  if (podTemplate === undefined) return {reason: 'CHECKPOINT_UNKNOWN', message: 'the checkpoint was deleted'}
  const places = placementOf(
    {
      source,
      backend: spec.backend ?? 'Handler',
      node: spec.nodeName,
      exceptNode: status.sourceNodeName,
      spec: ownSpec(podTemplate),
      volumes: await boundVolumes(podTemplate.spec, metadata.namespace, context),
    },
    context.objects,
  )
  const refused = refusedNodes(migration)
  const names = places.candidates
    .map((candidate) => candidate.node.metadata.name)
    .filter((name) => !refused.has(name))
    // The dump of a direct move was sent to one node, and is in no store.
    .filter((name) => status.way !== 'Direct' || name === status.targetNodeName)
  const node = names.find((name) => name === status.targetNodeName) ?? names[0]
  if (node !== undefined) return {node}
  return {reason: 'NODE_UNLIKE', message: `no node can run the pod: ${refusalText(places)}`}
}

/**
 * A node refused. Unless the pod is to go to that one, the next best is asked: while the source is frozen, if the
 * checkpoint is stored, and after it was thawed, if its dump was sent to the one that refused. After the last one the
 * source is thawed, and every refusal is reported.
 */
export async function askNext(
  refusal: {readonly node: string; readonly reason?: string | undefined; readonly message: string},
  at: MigrationAt,
): Promise<Requeue> {
  const {migration, context} = at
  const {spec, status = {}} = migration
  const {node, message, reason = 'RESTORE_UNSUPPORTED'} = refusal
  const refusedTargets = withRefusal(at, node, message)
  const mayAskOthers = spec.nodeName === undefined && status.way !== 'Direct'
  if (mayAskOthers && refusedTargets.length < MOST_TARGETS) {
    const rest = refusedBy(at, refusedTargets)
    const next = await takerOf(await checkpointOf(at), rest)
    if (next.node !== undefined) {
      const phaseStartTime = timeText(context.now())
      const fields = {
        targetNodeName: next.node,
        targetAnswer: null,
        images: null,
        refusedTargets,
        phaseStartTime,
      }
      await updateStatus(at, {
        ...fields,
        message: `${asks(next.node)}; refused by ${refusalsText(refusedTargets)}`,
      })
      return {requeueAfterMs: AGAIN_MS}
    }
  }
  return leaveTarget(at, reason, refusedTargets)
}
