import {checkpointSchema} from '../../api/resources.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {z} from 'zod'
import {keepOrDelete} from './checkpoint-deletion.ts'
import {assignPod} from './checkpoint-pod.ts'
import {recordEvent} from '../../operator/events.ts'
import {endUnowned} from './migrate-direct.ts'
import {endOrphan} from './node-loss.ts'
import {admitEnd} from './readmission.ts'
import {parsed, refTo, type Reconciler, type ReconcileContext} from './reconcile-context.ts'

/** A Checkpoint of a pod that nobody has begun. */
const openSchema = z.looseObject({
  status: z.looseObject({phase: z.literal('Pending').optional()}).optional(),
  spec: z.looseObject({podRef: z.looseObject({name: z.string()})}),
})

/** One that ended longer ago was counted before. */
const NEWS_MS = 60_000

/** Watches over Checkpoints: those that nobody ends, those that are deleted; and counts those that ended. */
export function checkpointReconciler(): Reconciler {
  const counted = new Map<string, number>()
  return {
    name: 'checkpoint',
    kind: 'Checkpoint',
    watches: {
      Pod: ({metadata: {name, namespace}}, objects) =>
        objects
          .list('Checkpoint', namespace)
          .filter((object) => openSchema.safeParse(object).data?.spec.podRef.name === name)
          .map(({metadata}) => refTo('Checkpoint', metadata.name, namespace)),
      Node: (node, objects) =>
        parsed(objects.list('Checkpoint'), checkpointSchema)
          .filter(
            ({status, metadata}) =>
              status?.nodeName === node.metadata.name &&
              (metadata.deletionTimestamp !== undefined ||
                (status.phase !== 'Ready' && status.phase !== 'Failed')),
          )
          .map(({metadata: {name, namespace}}) => refTo('Checkpoint', name, namespace)),
    },
    async reconcile(object, context) {
      const checkpoint = checkpointSchema.parse(object)
      await count(object, counted, context)
      const again = await keepOrDelete(object, checkpoint, context)
      if (again !== undefined || checkpoint.metadata.deletionTimestamp !== undefined) return again
      const assigned = (await assignPod(object, checkpoint, context)) ?? object
      const now = checkpointSchema.parse(assigned)
      return (
        (await admitEnd(assigned, now, context)) ??
        (await endUnowned(assigned, now, context)) ??
        endOrphan(assigned, now, context)
      )
    },
  }
}

/** Those that ended before this controller began were counted by the one before. */
async function count(
  object: KubeObject,
  counted: Map<string, number>,
  context: ReconcileContext,
): Promise<void> {
  const {metadata, status = {}} = checkpointSchema.parse(object)
  const {phase, reason, message, startTime, completionTime, sizeBytes} = status
  const uid = metadata.uid ?? ''
  if ((phase !== 'Ready' && phase !== 'Failed') || counted.has(uid)) return
  const endedMs = Date.parse(completionTime ?? '')
  if (!(context.now() - endedMs < NEWS_MS)) return
  // Oldest first; those that are too old to be counted need not be remembered.
  for (const [old, atMs] of counted) {
    if (context.now() - atMs < 2 * NEWS_MS) break
    counted.delete(old)
  }
  counted.set(uid, context.now())
  const tookMs = endedMs - Date.parse(startTime ?? '')
  context.metrics.checkpointEnded(
    phase === 'Ready' ? 'Ready' : (reason ?? 'Failed'),
    Number.isNaN(tookMs) ? undefined : tookMs,
    sizeBytes,
  )
  const type = phase === 'Ready' ? 'Normal' : 'Warning'
  await recordEvent(object, type, reason ?? phase, message ?? phase, context)
}
