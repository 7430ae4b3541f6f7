import {isDeepStrictEqual} from 'node:util'
import {z} from 'zod'
import type {KubeObject} from '../../kubernetes/types.ts'
import {conditionSchema} from '../../api/resources.ts'
import {withCondition} from '../../operator/conditions.ts'
import {recordEvent} from '../../operator/events.ts'
import {timeText} from '../../base/time.ts'
import {removeFinalizer} from '../../operator/finalizers.ts'
import {writeStatus} from '../../operator/writes.ts'
import type {WatchedKind, ReconcileContext} from './reconcile-context.ts'

const REASON = 'Invalid'
const OUR_FINALIZERS = /^clouder\.dev\//

/** As much of a status as is needed to write into it. */
const statusSchema = z.looseObject({
  phase: z.unknown().optional(),
  conditions: z.array(conditionSchema).optional().catch(undefined),
})

/**
 * Says on an object that our schemas do not take why nothing is done about it, and does not stand in the way of its
 * deletion. One that something was done about before keeps its status, which others may rely on.
 */
export async function reportUnreadable(
  kind: WatchedKind,
  object: KubeObject,
  problem: string,
  context: ReconcileContext,
): Promise<void> {
  const {name, namespace, finalizers = [], deletionTimestamp} = object.metadata
  context.log('warn', 'ignored an invalid object', {kind, namespace, name, error: problem})
  if (kind === 'Pod' || kind === 'Node' || kind === 'CertificateSigningRequest') return
  if (deletionTimestamp !== undefined) {
    const ours = finalizers.find((finalizer) => OUR_FINALIZERS.test(finalizer))
    // One at a time: each change is told, and leads here again.
    if (ours !== undefined) await removeFinalizer(object, ours, context)
    return
  }
  const message = `the object is invalid and is ignored until it is corrected: ${problem}`
  await recordEvent(object, 'Warning', REASON, message, context)
  const status = statusSchema.safeParse(object['status'] ?? {}).data
  if (status === undefined || object['spec'] === undefined) return
  if (kind === 'CheckpointStore' || kind === 'CheckpointPolicy' || kind === 'ContainerHost') {
    const type = kind === 'CheckpointPolicy' ? 'Valid' : 'Ready'
    const invalid = {type, status: 'False', reason: REASON, message} as const
    const {generation} = object.metadata
    const conditions = withCondition(status.conditions, invalid, {generation, nowMs: context.now()})
    if (!isDeepStrictEqual(status.conditions, conditions)) await writeStatus(object, {conditions}, context)
  } else if (status.phase === undefined || status.phase === 'Pending') {
    await writeStatus(
      object,
      {phase: 'Failed', reason: REASON, message, completionTime: timeText(context.now())},
      context,
    )
  }
}
