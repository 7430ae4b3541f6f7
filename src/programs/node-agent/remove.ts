import {API_VERSION, CHECKPOINT_FINALIZER} from '../../api/names.ts'
import {checkpointStoreSchema, type CheckpointStore} from '../../api/resources.ts'
import {isHeldByMove} from '../../checkpoint/moves.ts'
import {isShared} from '../../checkpoint/shared.ts'
import type {Digest} from '../../checkpoint/stores/blob-store.ts'
import {retryOnConflict} from '../../kubernetes/conflict.ts'
import {digestSchema} from '../../api/sealed-checkpoint.ts'
import {checkpointRef, parseCheckpoint, type Named} from './checkpoint-object.ts'
import {endFreeze, undo, type LetGoTools} from './end-freeze.ts'
import {moveOf} from './move-gate.ts'
import type {AgentTools} from './tools.ts'
import {resumeUnlessHeld, type ResumeTools} from './pod-lock.ts'

/** What removing touches: what of it is stored, and the pod that stands still for it. */
export type RemovalTools = ResumeTools & LetGoTools & Pick<AgentTools, 'archives' | 'stores'>

/** Sealed pieces of a push that is under way are not collected. */
const GRACE_MS = 60 * 60_000

/**
 * Takes away what a deleted Checkpoint of this node left here: its pod goes on, its archives and what lies sealed on a
 * disk go; last, the finalizer that held it. What lies elsewhere the controller removes. As long as a move works with it
 * nothing is removed, and the move decides about the pod.
 */
export async function removeCheckpoint(checkpoint: Named, tools: RemovalTools): Promise<void> {
  const {kube, archives, log} = tools
  const {status = {}, metadata} = checkpoint
  if (isHeldByMove(await moveOf(checkpoint.namespace, checkpoint.name, kube))) {
    if (status.frozen === true) await endFreeze(checkpoint, tools)
    return
  }
  const isOver = status.phase === 'Ready' || status.phase === 'Failed'
  if (status.frozen === true) await undo(checkpoint, tools)
  else if (!isOver && status.podUID !== undefined) await resumeUnlessHeld(status.podUID, checkpoint, tools)
  await archives.remove(checkpoint.uid)
  const finalizers = metadata.finalizers ?? []
  if (!finalizers.includes(CHECKPOINT_FINALIZER)) return
  const store = await storeOf(checkpoint, tools)
  // From a registry, S3 or Azure the controller removes it, and then the finalizer.
  if (store !== undefined && !isLocal(store)) return
  const digest = digestSchema.safeParse(status.digest).data
  // An imported one is somebody else's too, another cluster's perhaps: it is only forgotten here.
  if (store !== undefined && digest !== undefined && checkpoint.spec.import === undefined) {
    const all = await kube.list({apiVersion: API_VERSION, kind: 'Checkpoint'})
    if (!isShared({uid: checkpoint.uid, store: checkpoint.spec.storeName, digest}, all))
      await removeStored(checkpoint, digest, tools)
  }
  const ref = checkpointRef(checkpoint)
  await retryOnConflict(async () => {
    const object = await kube.get(ref)
    // The controller needed it no longer, and took the last of them.
    if (object === undefined || parseCheckpoint(object).uid !== checkpoint.uid) return undefined
    const {metadata: now} = parseCheckpoint(object)
    const left = (now.finalizers ?? []).filter((name) => name !== CHECKPOINT_FINALIZER)
    return kube.patch(ref, {metadata: {finalizers: left}}, {resourceVersion: now.resourceVersion})
  })
  log('info', 'removed', {checkpoint: checkpoint.name, namespace: checkpoint.namespace})
}

async function storeOf(
  {spec}: Named,
  {kube}: Pick<AgentTools, 'kube'>,
): Promise<CheckpointStore | undefined> {
  const object = await kube.get({apiVersion: API_VERSION, kind: 'CheckpointStore', name: spec.storeName})
  return object === undefined ? undefined : checkpointStoreSchema.parse(object)
}

/** On a disk that agents reach, and the controller does not. */
export const isLocal = ({spec}: CheckpointStore): boolean =>
  spec.node !== undefined || spec.directory !== undefined || spec.persistentVolumeClaim !== undefined

async function removeStored(
  {spec}: Named,
  digest: Digest,
  {stores, signal}: Pick<AgentTools, 'stores' | 'signal'>,
): Promise<void> {
  const {blobs} = await stores.open(spec.storeName, {signal})
  await blobs.removeManifest(digest, signal)
  await blobs.collect({graceMs: GRACE_MS, dryRun: false, signal})
}
