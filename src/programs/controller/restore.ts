import {RESTORE_LABEL, RUNTIME_LABEL} from '../../api/names.ts'
import {labelValue} from '../../api/object-names.ts'
import {podSchema, type Pod} from '../../kubernetes/pod.ts'
import {checkpointSchema, restoreSchema, type Checkpoint, type Restore} from '../../api/resources.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {z} from 'zod'
import {adoptionProblem} from './adoption.ts'
import {namespaceProblem, pullImages} from './checkpoint-images.ts'
import {boundVolumes} from './pod-volumes.ts'
import {recordEvent} from '../../operator/events.ts'
import {isUnlikeAll, placementOf, refusalText, type Wanted} from './placement.ts'
import {progressOf} from './restore-status.ts'
import {ownSpec, restoredPod} from './restored-pod.ts'
import {timeText} from '../../base/time.ts'
import {ensure, writeStatus, refusalOf} from '../../operator/writes.ts'
import type {Requeue} from '../../operator/reconciler.ts'
import {
  parsed,
  refTo,
  type Objects,
  type Reconciler,
  type ReconcileContext,
  labelledBy,
} from './reconcile-context.ts'

/** As long as a pod may take to go on, from when it was made. */
const START_MS = 10 * 60_000
const AGAIN_MS = 5_000
/** Nodes that a pod is bound to: the scheduler chooses among so many. */
const MOST_NODES = 20

const ownersSchema = z.array(z.looseObject({uid: z.string()})).default([])

/** Makes the pod that a Restore asks for, and tells when its processes go on. */
export const restoreReconciler: Reconciler = {
  name: 'restore',
  kind: 'Restore',
  watches: {
    Pod: ({metadata}, objects) =>
      labelledBy('Restore', metadata.labels?.[RESTORE_LABEL], metadata.namespace, objects),
    Checkpoint: ({metadata}, objects) =>
      openRestores(objects, metadata.namespace)
        .filter(({spec}) => spec.checkpointName === metadata.name)
        .map(({metadata: {name, namespace}}) => refTo('Restore', name, namespace)),
  },
  async reconcile(object, context) {
    const restore = restoreSchema.parse(object)
    if (restore.metadata.deletionTimestamp !== undefined) return undefined
    switch (restore.status?.phase) {
      case undefined:
      case 'Pending':
        return begin(object, restore, context)
      case 'Preparing':
        return makePod(object, restore, context)
      case 'Starting':
        return follow(object, restore, context)
      case 'Restored':
      case 'Failed':
        return undefined
    }
  },
}

/** A quota may have room, and a webhook that is started anew may answer, within so long. */
const REFUSED_MS = 60_000
const REFUSED_AGAIN_MS = 5_000

const openRestores = (objects: Objects, namespace: string | undefined): readonly Restore[] =>
  parsed(objects.list('Restore', namespace), restoreSchema).filter(
    ({status}) => status?.phase !== 'Restored' && status?.phase !== 'Failed',
  )

async function begin(object: KubeObject, restore: Restore, context: ReconcileContext): Promise<Requeue> {
  const {spec, metadata} = restore
  const checkpoint = checkpointOf(restore, context.objects)
  if (checkpoint === undefined)
    return fail(object, 'CHECKPOINT_UNKNOWN', `checkpoint ${spec.checkpointName} not found`, context)
  const {status = {}} = checkpoint
  if (status.phase === 'Failed')
    return fail(
      object,
      'CHECKPOINT_UNKNOWN',
      `checkpoint ${spec.checkpointName} failed: ${status.message ?? 'its status contains no message'}`,
      context,
    )
  if (status.phase !== 'Ready' || status.podTemplate === undefined) {
    await updateStatus(
      object,
      restore,
      {phase: 'Pending', message: `waiting for checkpoint ${spec.checkpointName}`},
      context,
    )
    return undefined
  }
  const lost = status.obstacles?.find(({verdict}) => verdict === 'Impossible')
  if (lost !== undefined)
    return fail(
      object,
      'RESTORE_IMPOSSIBLE',
      `checkpoint ${spec.checkpointName} cannot be restored: ${lost.message}`,
      context,
    )
  const wanted: Wanted = {
    source: status.nodeFeatures,
    backend: spec.backend,
    node: spec.nodeName,
    spec: ownSpec(status.podTemplate),
    volumes: await boundVolumes(status.podTemplate.spec, metadata.namespace, context),
  }
  const places = placementOf(wanted, context.objects)
  const [best] = places.candidates
  if (best === undefined) {
    const reason = isUnlikeAll(wanted, context.objects) ? 'NODE_UNLIKE' : 'RESTORE_UNSUPPORTED'
    return fail(object, reason, `no node can run the pod: ${refusalText(places)}`, context)
  }
  if (best.backend === 'CreateImage') {
    const problem = await namespaceProblem(metadata.namespace, context)
    if (problem !== undefined) return fail(object, 'RESTORE_UNSUPPORTED', problem, context)
  }
  const node = spec.nodeName ?? (best.backend === 'CreateImage' ? best.node.metadata.name : undefined)
  const next = await writeStatus(
    object,
    {
      phase: 'Preparing',
      backend: best.backend,
      ...(node === undefined ? {} : {nodeName: node}),
      startTime: restore.status?.startTime ?? timeText(context.now()),
      message: `creating pod ${podNameOf(restore, checkpoint) ?? metadata.name}`,
    },
    context,
  )
  return makePod(next, restoreSchema.parse(next), context)
}

async function makePod(object: KubeObject, restore: Restore, context: ReconcileContext): Promise<Requeue> {
  const {metadata, spec, status = {}} = restore
  const checkpoint = checkpointOf(restore, context.objects)
  const template = checkpoint?.status?.podTemplate
  const name = checkpoint === undefined ? undefined : podNameOf(restore, checkpoint)
  if (checkpoint === undefined || template === undefined || name === undefined)
    return fail(object, 'CHECKPOINT_UNKNOWN', `checkpoint ${spec.checkpointName} was deleted`, context)
  const {backend = 'Handler', images, nodeName} = status
  if (status.missingImages !== undefined) return pull(object, restore, template.spec, context)
  if (backend === 'CreateImage' && images === undefined) {
    await updateStatus(
      object,
      restore,
      {message: `creating images of the checkpoint on ${nodeName ?? ''}`},
      context,
    )
    return undefined
  }
  const {namespace = 'default'} = metadata
  const found = await context.kube.get(refTo('Pod', name, namespace))
  const existing = found === undefined ? undefined : podSchema.parse(found)
  if (existing !== undefined && !isOf(existing, restore))
    return occupied(object, existing, checkpoint, context)
  const wanted = await podFor(restore, checkpoint, {name, namespace}, context)
  const adoption = existing === undefined ? await adoptionProblem(wanted, context) : undefined
  if (adoption !== undefined) return fail(object, 'RESTORE_FAILED', adoption, context)
  const made = existing ?? (await ensure(wanted, context).catch(refusalOf))
  if (typeof made === 'string') return refused(object, restore, made, context)
  const pod = podSchema.parse(made)
  if (!isOf(pod, restore)) return {requeueAfterMs: 0}
  await writeStatus(
    object,
    {phase: 'Starting', podUID: pod.metadata.uid, message: `pod ${name} is waiting for a node`},
    context,
  )
  return undefined
}

/** Tells at once that the API server refuses the pod, and gives up when that stays so. */
async function refused(
  object: KubeObject,
  restore: Restore,
  why: string,
  context: ReconcileContext,
): Promise<Requeue> {
  const sinceMs = Date.parse(restore.status?.startTime ?? '') || 0
  if (context.now() - sinceMs >= REFUSED_MS) return fail(object, 'API_REJECTED', why, context)
  await updateStatus(object, restore, {message: `retrying: ${why}`}, context)
  return {requeueAfterMs: REFUSED_AGAIN_MS}
}

/** Fetches what the runtime would fetch without anybody's credentials. */
async function pull(
  object: KubeObject,
  restore: Restore,
  spec: unknown,
  context: ReconcileContext,
): Promise<Requeue> {
  const {metadata, status = {}} = restore
  const {missingImages = [], nodeName = ''} = status
  const {namespace = 'default', name, uid} = metadata
  const pulled = await pullImages(
    {owner: {kind: 'Restore', name, uid}, namespace, node: nodeName, images: missingImages, spec},
    context,
  )
  if (pulled.state === 'failed') return fail(object, 'IMAGE_UNAVAILABLE', pulled.why, context)
  if (pulled.state === 'pulled') {
    await writeStatus(
      object,
      {missingImages: null, imagesPulled: true, message: `pulled the images on ${nodeName}`},
      context,
    )
    return undefined
  }
  await updateStatus(
    object,
    restore,
    {message: `pulling ${missingImages.join(', ')} on ${nodeName}`},
    context,
  )
  return {requeueAfterMs: AGAIN_MS}
}

async function podFor(
  {metadata, spec, status}: Restore,
  checkpoint: Checkpoint,
  {name, namespace}: {name: string; namespace: string},
  context: ReconcileContext,
): Promise<KubeObject> {
  const {podTemplate, nodeFeatures: source} = checkpoint.status ?? {}
  const template = podTemplate ?? {metadata: {}, spec: {containers: []}}
  const backend = status?.backend ?? 'Handler'
  const node = status?.nodeName
  const volumes = await boundVolumes(template.spec, namespace, context)
  const places = placementOf({source, backend, node, spec: ownSpec(template), volumes}, context.objects)
  const nodes = places.candidates.slice(0, MOST_NODES).map((candidate) => candidate.node.metadata.name)
  const runtime = metadata.labels?.[RUNTIME_LABEL]
  return restoredPod({
    namespace,
    name,
    template,
    checkpoint: spec.checkpointName,
    backend,
    images: status?.images,
    nodes: nodes.length > 0 ? nodes : [node ?? ''].filter((text) => text !== ''),
    labels: {
      [RESTORE_LABEL]: labelValue(metadata.name),
      ...(runtime === undefined ? {} : {[RUNTIME_LABEL]: runtime}),
    },
    // Whoever owns the Restore owns the pod.
    owners: ownersSchema.parse(metadata['ownerReferences']),
    takesPlace: false,
  })
}

/** The name is taken: by the source, which is going away, or by a pod that has nothing to do with this. */
async function occupied(
  object: KubeObject,
  existing: Pod,
  checkpoint: Checkpoint,
  context: ReconcileContext,
): Promise<Requeue> {
  const {name, uid, deletionTimestamp} = existing.metadata
  if (deletionTimestamp !== undefined || uid === leaving(checkpoint)) {
    await updateStatus(
      object,
      restoreSchema.parse(object),
      {message: `waiting for pod ${name} to be deleted`},
      context,
    )
    return {requeueAfterMs: 1000}
  }
  return fail(
    object,
    'RESTORE_FAILED',
    `pod ${name} already exists; delete it, or choose another name with --as`,
    context,
  )
}

/** The pod that goes away by itself because its checkpoint says so. */
const leaving = ({spec, status}: Checkpoint): string | undefined =>
  spec.podPolicy === 'Delete' ? status?.podUID : undefined

async function follow(object: KubeObject, restore: Restore, context: ReconcileContext): Promise<Requeue> {
  const {metadata, status = {}} = restore
  const checkpoint = checkpointOf(restore, context.objects)
  const name = checkpoint === undefined ? undefined : podNameOf(restore, checkpoint)
  const found = parsed(context.objects.list('Pod', metadata.namespace), podSchema).find(
    (pod) => pod.metadata.uid === status.podUID,
  )
  if (found === undefined) {
    // The cache may be behind the pod that was just made.
    const live =
      name === undefined ? undefined : await context.kube.get(refTo('Pod', name, metadata.namespace))
    if (live?.metadata.uid === status.podUID) return {requeueAfterMs: 100}
    return fail(object, 'RESTORE_FAILED', 'the pod was deleted before it was restored', context)
  }
  const node = found.spec.nodeName
  const place = node === undefined ? {} : {nodeName: node}
  const progress = progressOf(found)
  if (progress.state === 'ready' || progress.state === 'running' || found.status.phase === 'Succeeded') {
    context.metrics.restoreEnded('Restored')
    await writeStatus(
      object,
      {
        phase: 'Restored',
        reason: null,
        ...place,
        message: `pod ${found.metadata.name} is now running on ${node ?? 'its node'}`,
        completionTime: timeText(context.now()),
      },
      context,
    )
    await recordEvent(object, 'Normal', 'Restored', `pod ${found.metadata.name} is running again`, context)
    return undefined
  }
  const madeMs = Date.parse(found.metadata.creationTimestamp ?? '') || context.now()
  const isLate = context.now() - madeMs > START_MS
  if (progress.state === 'failed' || isLate) {
    // What is deleted must not be judged by what was heard some time ago: it may have come to run just now.
    const now = await context.kube.get(refTo('Pod', found.metadata.name, metadata.namespace))
    if (now !== undefined && ['ready', 'running'].includes(progressOf(podSchema.parse(now)).state))
      return {requeueAfterMs: 100}
    const reason = progress.state === 'failed' ? progress.reason : 'RESTORE_FAILED'
    await context.kube.delete(refTo('Pod', found.metadata.name, metadata.namespace), {
      uid: found.metadata.uid,
    })
    return fail(object, reason, isLate ? `timed out: ${progress.message}` : progress.message, context)
  }
  await updateStatus(object, restore, {...place, message: progress.message}, context)
  return {requeueAfterMs: AGAIN_MS}
}

const isOf = ({metadata}: Pod, restore: Restore): boolean =>
  metadata.labels[RESTORE_LABEL] === labelValue(restore.metadata.name) &&
  (restore.status?.podUID === undefined || restore.status.podUID === metadata.uid)

function checkpointOf({metadata, spec}: Restore, objects: Objects): Checkpoint | undefined {
  const object = objects.get('Checkpoint', spec.checkpointName, metadata.namespace)
  return object === undefined ? undefined : checkpointSchema.parse(object)
}

const podNameOf = ({spec}: Restore, checkpoint: Checkpoint): string | undefined =>
  spec.podName ?? checkpoint.spec.podRef?.name ?? spec.checkpointName

/** Writes what is new. */
async function updateStatus(
  object: KubeObject,
  {status = {}}: Restore,
  next: Partial<NonNullable<Restore['status']>>,
  context: ReconcileContext,
): Promise<void> {
  if (Object.entries(next).every(([key, value]) => status[key] === value)) return
  await writeStatus(object, next, context)
}

async function fail(
  object: KubeObject,
  reason: string,
  message: string,
  context: ReconcileContext,
): Promise<Requeue> {
  await writeStatus(
    object,
    {phase: 'Failed', reason, message, completionTime: timeText(context.now())},
    context,
  )
  context.metrics.restoreEnded(reason)
  await recordEvent(object, 'Warning', reason, message, context)
  return undefined
}
