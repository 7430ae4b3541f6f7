import {isOver} from '../../checkpoint/ends.ts'
import {MIGRATION_LABEL} from '../../api/names.ts'
import {labelValue} from '../../api/object-names.ts'
import {migrationSchema, restoreSchema, type Migration, type Restore} from '../../api/resources.ts'
import type {Requeue} from '../../operator/reconciler.ts'
import {refTo, type Reconciler, type ReconcileContext} from './reconcile-context.ts'

/** What is over is kept for so long, for people to see. */
const KEPT_S = 24 * 3600
const AGAIN_MS = 60_000

/** Deletes Restores some time after their end; pods that they made are not theirs. */
export const finishedRestoreReconciler: Reconciler = {
  name: 'finished-restore',
  kind: 'Restore',
  reconcile: (object, context) => removeWhenDue('Restore', restoreSchema.parse(object), context),
}

/** Deletes Migrations some time after their end, and after the checkpoints that they used. */
export const finishedMigrationReconciler: Reconciler = {
  name: 'finished-migration',
  kind: 'Migration',
  reconcile(object, context) {
    const migration = migrationSchema.parse(object)
    return isOver(migration) && usesCheckpoint(migration, context)
      ? Promise.resolve({requeueAfterMs: AGAIN_MS})
      : removeWhenDue('Migration', migration, context)
  },
}

/** Whether its checkpoint is still there and will go with it; that of one that failed stays. */
function usesCheckpoint({metadata, status = {}}: Migration, {objects}: ReconcileContext): boolean {
  const {phase, checkpointName} = status
  if (phase === 'Failed' || checkpointName === undefined) return false
  const found = objects.get('Checkpoint', checkpointName, metadata.namespace)
  return found?.metadata.labels?.[MIGRATION_LABEL] === labelValue(metadata.name)
}

async function removeWhenDue(
  kind: 'Restore' | 'Migration',
  finished: Restore | Migration,
  {kube, now, log, signal}: ReconcileContext,
): Promise<Requeue> {
  const {metadata, spec, status} = finished
  if (!isOver(finished) || metadata.deletionTimestamp !== undefined) return undefined
  const endedMs = Date.parse(status?.completionTime ?? metadata.creationTimestamp ?? '') || now()
  const leftMs = endedMs + (spec.ttlSecondsAfterFinished ?? KEPT_S) * 1000 - now()
  if (leftMs > 0) return {requeueAfterMs: leftMs}
  signal.throwIfAborted()
  const {name, namespace, uid} = metadata
  await kube.delete(refTo(kind, name, namespace), uid === undefined ? {} : {uid})
  log('info', 'deleted a finished object after its TTL', {kind, name, namespace})
  return undefined
}
