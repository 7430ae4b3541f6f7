import {CHECKPOINT_FINALIZER, THAW_ANNOTATION} from '../../api/names.ts'
import {nodeSchema} from '../../kubernetes/pod.ts'
import type {Checkpoint} from '../../api/resources.ts'
import {isHeldByMove, moveWith} from '../../checkpoint/moves.ts'
import {isShared} from '../../checkpoint/shared.ts'
import type {Digest} from '../../checkpoint/stores/blob-store.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {isNodeReady} from './placement.ts'
import {isRemote, openRemote, storeNamed} from './store-access.ts'
import {addFinalizer, removeFinalizer} from '../../operator/finalizers.ts'
import type {Requeue} from '../../operator/reconciler.ts'
import {refTo, WATCHED, type ReconcileContext} from './reconcile-context.ts'

const AGENT_MS = 15_000
/** Between two checks whether the move that works with it has ended. */
const HELD_MS = 2000
/** In these phases there is something that goes with the object. */
const HOLDS: readonly unknown[] = ['Dumped', 'Storing', 'Ready']

/** Sees to it that what a Checkpoint stored goes with it. */
export async function keepOrDelete(
  object: KubeObject,
  checkpoint: Checkpoint,
  context: ReconcileContext,
): Promise<Requeue> {
  const {metadata, status = {}} = checkpoint
  const {finalizers = [], deletionTimestamp} = metadata
  const isHeld = finalizers.includes(CHECKPOINT_FINALIZER)
  if (deletionTimestamp === undefined) {
    if (!isHeld && HOLDS.includes(status.phase)) await addFinalizer(object, CHECKPOINT_FINALIZER, context)
    return undefined
  }
  if (!isHeld) return undefined
  const {kube} = context
  const {namespace} = metadata
  const moves = await kube.list({
    apiVersion: WATCHED.Migration,
    kind: 'Migration',
    ...(namespace === undefined ? {} : {namespace}),
  })
  if (isHeldByMove(moveWith(metadata.name, moves))) return {requeueAfterMs: HELD_MS}
  if (status.frozen === true && isAlive(status.nodeName, context)) return requestThaw(checkpoint, context)
  if (await waitsForAgent(checkpoint, context)) return {requeueAfterMs: AGENT_MS}
  await removeFinalizer(object, CHECKPOINT_FINALIZER, context)
  return undefined
}

/** A pod that stands still for a checkpoint that is not wanted any more goes on. */
async function requestThaw({metadata}: Checkpoint, context: ReconcileContext): Promise<Requeue> {
  if (metadata.annotations?.[THAW_ANNOTATION] !== 'true')
    await context.kube.patch(refTo('Checkpoint', metadata.name, metadata.namespace), {
      metadata: {annotations: {[THAW_ANNOTATION]: 'true'}},
    })
  return {requeueAfterMs: AGENT_MS}
}

/** Takes away what lies where the controller reaches it; true: the agent of the node still has to. */
async function waitsForAgent(checkpoint: Checkpoint, context: ReconcileContext): Promise<boolean> {
  const {spec, status = {}, metadata} = checkpoint
  const {digest} = status
  // An imported one is somebody else's too, another cluster's perhaps: it is only forgotten here.
  if (!isDigest(digest) || spec.import !== undefined) return false
  const all = await context.kube.list({apiVersion: WATCHED.Checkpoint, kind: 'Checkpoint'})
  if (isShared({uid: metadata.uid, store: spec.storeName, digest}, all)) return false
  const store = storeNamed(spec.storeName, context)
  if (store === undefined) {
    context.log('warn', 'the store of a deleted checkpoint no longer exists', {
      checkpoint: metadata.name,
      store: spec.storeName,
    })
    return false
  }
  if (!isRemote(store)) return isAlive(status.nodeName, context)
  const blobs = await openRemote(store, context)
  context.signal.throwIfAborted()
  await blobs.removeManifest(digest, context.signal)
  context.log('info', 'deleted a checkpoint from its store', {checkpoint: metadata.name, digest})
  return false
}

function isAlive(name: string | undefined, {objects}: ReconcileContext): boolean {
  const node = name === undefined ? undefined : objects.get('Node', name)
  return node !== undefined && isNodeReady(nodeSchema.parse(node))
}

const isDigest = (text: string | undefined): text is Digest =>
  text !== undefined && /^sha256:[0-9a-f]{64}$/.test(text)
