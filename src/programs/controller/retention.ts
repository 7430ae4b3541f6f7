import {isOver} from '../../checkpoint/ends.ts'
import {RESTORE_ANNOTATION} from '../../api/names.ts'
import {podSchema} from '../../kubernetes/pod.ts'
import {
  migrationSchema,
  restoreSchema,
  runtimeSchema,
  type Checkpoint,
  type Retention,
} from '../../api/resources.ts'
import {expired, retained} from '../../checkpoint/retention.ts'
import {parsed, refTo, type ReconcileContext} from './reconcile-context.ts'

/** Deletes the Checkpoints of one namespace that are not to be kept; gives how many those were. */
export async function deleteExpired(
  checkpoints: readonly Checkpoint[],
  retention: Retention,
  context: ReconcileContext,
): Promise<number> {
  const [namespace] = checkpoints.map(({metadata}) => metadata.namespace)
  const used = namesInUse(namespace, context)
  const pods = parsed(context.objects.list('Pod', namespace), podSchema)
  const podUids = new Set(pods.map(({metadata}) => metadata.uid))
  const seen = checkpoints
    .filter(({metadata}) => metadata.deletionTimestamp === undefined)
    .map((checkpoint) => retained(checkpoint, {podUids, inUse: used.has(checkpoint.metadata.name)}))
  const doomed = expired(seen, retention, context.now())
  for (const {checkpoint} of doomed) {
    const {name, uid} = checkpoint.metadata
    context.signal.throwIfAborted()
    context.log('info', 'deleting an expired checkpoint', {checkpoint: name, namespace})
    await context.kube.delete(refTo('Checkpoint', name, namespace), uid === undefined ? {} : {uid})
  }
  return doomed.length
}

/** Names of Checkpoints of a namespace that something goes on from, or may have to. */
function namesInUse(namespace: string | undefined, {objects}: ReconcileContext): ReadonlySet<string> {
  const restores = parsed(objects.list('Restore', namespace), restoreSchema)
    .filter((restore) => !isOver(restore))
    .map(({spec}) => spec.checkpointName)
  const migrations = parsed(objects.list('Migration', namespace), migrationSchema)
    .filter((migration) => !isOver(migration))
    .map(({status}) => status?.checkpointName ?? '')
  const runtimes = parsed(objects.list('Runtime', namespace), runtimeSchema).map(
    ({status}) => status?.checkpointName ?? '',
  )
  const starting = parsed(objects.list('Pod', namespace), podSchema)
    .filter(({status}) => status.phase === 'Pending' || status.phase === undefined)
    .map(({metadata}) => metadata.annotations[RESTORE_ANNOTATION] ?? '')
  return new Set([...restores, ...migrations, ...runtimes, ...starting])
}
