import {CHECKPOINT_IMAGE_PREFIX, RESTORE_ANNOTATION, RESTORE_RUNTIME} from '../../api/names.ts'
import {migrationSchema, restoreSchema} from '../../api/resources.ts'
import {refOf} from '../../kubernetes/refs.ts'
import type {KubeObject, ObjectRef} from '../../kubernetes/types.ts'
import type {Objects} from '../../operator/reconciler.ts'
import type {AgentContext, Reconciler} from './agent-context.ts'
import {checkpointRef, parseCheckpoint} from './checkpoint-object.ts'
import {abandon, reconcileCheckpoint} from './checkpoint-reconciler.ts'
import {isForImages, makeImages} from './create-image.ts'
import type {AgentKind} from './followed-kinds.ts'
import {admitMove, isToAdmit, isToReportImages, reportMissingImages} from './migration-target.ts'
import {followPages, isToFollow} from './lazy/lazy-restore.ts'
import {parsePod} from '../../kubernetes/pod.ts'
import {prepareAhead} from './prepare-ahead.ts'

/** Dumps, stores and lets go: what a Checkpoint of a pod of this node asks for. */
const checkpointReconciler: Reconciler = {
  name: 'checkpoint',
  kind: 'Checkpoint',
  watches: {Pod: heldPods, Migration: heldByMove},
  async reconcile(object, {tools}) {
    const {namespace, name, uid, spec, status = {}} = parseCheckpoint(object)
    // Its move has ended: what this node received for it is of no use.
    if (spec.transfer?.nodeName === tools.node && NOT_MOVED.includes(status.phase))
      await tools.pulls.remove(uid)
    const isOpen = status.phase === undefined || status.phase === 'Pending'
    if (isOpen || status.nodeName === tools.node) await reconcileCheckpoint({namespace, name}, tools)
    return undefined
  },
  async forget(object, {tools}) {
    const checkpoint = parseCheckpoint(object)
    if (checkpoint.spec.transfer?.nodeName === tools.node) await tools.pulls.remove(checkpoint.uid)
    return abandon(checkpoint, tools)
  },
}

/** Phases of a Checkpoint in which nothing of it is moved from node to node. */
const NOT_MOVED: readonly unknown[] = ['Storing', 'Ready', 'Failed']

/** Checkpoints that a pod stands still for which ends. */
function heldPods(object: KubeObject, objects: Objects<AgentKind>): readonly ObjectRef[] {
  const {uid, name, namespace, deletionTimestamp} = object.metadata
  if (deletionTimestamp === undefined && objects.get('Pod', name, namespace)?.metadata.uid === uid) return []
  return objects
    .list('Checkpoint', namespace)
    .map(parseCheckpoint)
    .filter(({status}) => status?.podUID === uid && status?.frozen === true)
    .map(checkpointRef)
}

/** The Checkpoint of a move, whose deletion may wait for the end of that. */
function heldByMove(object: KubeObject, objects: Objects<AgentKind>): readonly ObjectRef[] {
  const {checkpointName} = migrationSchema.parse(object).status ?? {}
  const held = objects.get('Checkpoint', checkpointName ?? '', object.metadata.namespace)
  return held?.metadata.deletionTimestamp === undefined ? [] : [refOf(held)]
}

/** Unpacks what a pod goes on from, and removes it when it has begun, or is gone. */
const podReconciler: Reconciler = {
  name: 'pod',
  kind: 'Pod',
  async reconcile(object, context) {
    const pod = parsePod(object)
    const {annotations, deletionTimestamp} = pod.metadata
    const isRestored = annotations[RESTORE_ANNOTATION] !== undefined
    if (isRestored && deletionTimestamp === undefined && pod.spec.runtimeClassName === RESTORE_RUNTIME)
      await prepareAhead(pod, context)
    return undefined
  },
  async forget(object, context) {
    const {metadata, spec} = parsePod(object)
    await context.preparations.remove(metadata.uid)
    if (spec.containers.some(({image}) => image.startsWith(CHECKPOINT_IMAGE_PREFIX)))
      await removeUnusedImages(context)
    return undefined
  },
}

/** Makes images of a checkpoint for a Restore, and removes those of one that came to nothing. */
const restoreReconciler: Reconciler = {
  name: 'restore',
  kind: 'Restore',
  async reconcile(object, context) {
    const {kube, tools, checkpointImages} = context
    if (isForImages(object, tools.node)) {
      const now = await kube.get(refOf(object))
      if (now !== undefined) await makeImages(now, {...tools, checkpointImages})
      return undefined
    }
    const {status} = restoreSchema.parse(object)
    if (hasFailed(status)) await removeImagesOf(status, status?.nodeName, context)
    return undefined
  },
  async forget(object, context) {
    const {status} = restoreSchema.parse(object)
    await removeImagesOf(status, status?.nodeName, context)
    return undefined
  },
}

/** Says whether this node can take the pod of a Migration, and removes images of one that came to nothing. */
const migrationReconciler: Reconciler = {
  name: 'migration',
  kind: 'Migration',
  async reconcile(object, context) {
    const {kube, tools, checkpointImages} = context
    tools.pulls.begin(object)
    if (isToAdmit(object, tools.node) || isToReportImages(object, tools.node)) {
      const now = await kube.get(refOf(object))
      if (now === undefined) return undefined
      await reportMissingImages(now, tools)
      await admitMove(now, {...tools, checkpointImages})
      return undefined
    }
    if (isToFollow(object, tools.node)) {
      await followPages(object, {...tools, preparations: context.preparations})
      return undefined
    }
    const {status} = migrationSchema.parse(object)
    if (hasFailed(status)) await removeImagesOf(status, status?.targetNodeName, context)
    return undefined
  },
  async forget(object, context) {
    const {status} = migrationSchema.parse(object)
    await removeImagesOf(status, status?.targetNodeName, context)
    return undefined
  },
}

interface ImageOwner {
  readonly phase?: string | undefined
  readonly images?: object | undefined
}

/** Removes what a Restore or a Migration had made on this node that came to nothing, or is gone. */
async function removeImagesOf(
  status: ImageOwner | undefined,
  nodeName: string | undefined,
  context: AgentContext,
): Promise<void> {
  if (status?.images !== undefined && nodeName === context.tools.node) await removeUnusedImages(context)
}

const hasFailed = (status: ImageOwner | undefined): boolean =>
  status?.phase === 'Failed' || status?.phase === 'RolledBack'

/** Images of checkpoints that neither a pod nor an unfinished Restore or Migration names. */
export const removeUnusedImages = ({objects, checkpointImages}: AgentContext): Promise<void> =>
  checkpointImages.removeUnused(() => objects.list('Pod').map(parsePod))

export const reconcilers = (): readonly Reconciler[] => [
  checkpointReconciler,
  podReconciler,
  restoreReconciler,
  migrationReconciler,
]
