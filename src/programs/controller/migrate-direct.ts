import {MIGRATION_LABEL} from '../../api/names.ts'
import {labelValue, objectName} from '../../api/object-names.ts'
import {isReady, nodeSchema, podSchema, type Pod} from '../../kubernetes/pod.ts'
import {checkpointSchema, type Checkpoint, type Migration} from '../../api/resources.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {isLazy} from './migrate-lazy.ts'
import {isMadeBy, targetPod} from './migrate-target.ts'
import {phaseMs, podNamed, type MigrationAt} from './migration-state.ts'
import {nodeFeaturesOf} from './placement.ts'
import {ensure, refusalOf, writeStatus} from '../../operator/writes.ts'
import type {Requeue} from '../../operator/reconciler.ts'
import {parsed, refTo, WATCHED, type ReconcileContext} from './reconcile-context.ts'

type Way =
  {readonly way: 'Direct'; readonly wayMessage: null} | {readonly way: 'Store'; readonly wayMessage: string}

/** Without any progress for so long a transfer is given up, and the source thawed. */
const STALLED_MS = 30_000
/** Between two looks for a dump whose Migration is gone. */
const ORPHAN_MS = 60_000
/** Between two looks whether the source has been ended. */
const FROZEN_MS = 1000

/** How the memory gets from one node to another, and why not directly. */
export function wayTo(target: string, source: string, {migration, context}: MigrationAt): Way {
  const {backend = 'Handler'} = migration.spec
  if (backend !== 'Handler')
    return {way: 'Store', wayMessage: `backend ${backend} restores from the store only`}
  const unable = [source, target].filter((name) => !movesDirectly(name, context))
  if (unable.length === 0) return {way: 'Direct', wayMessage: null}
  return {way: 'Store', wayMessage: `${unable.join(' and ')} cannot move a pod from node to node`}
}

export function movesDirectly(name: string, {objects}: ReconcileContext): boolean {
  const node = objects.get('Node', name)
  return node !== undefined && nodeFeaturesOf(nodeSchema.parse(node))?.directMoves === true
}

const replicaSetIn = (owners: Pod['metadata']['ownerReferences'] | undefined) =>
  owners?.find(({kind, controller}) => kind === 'ReplicaSet' && controller === true)

/** The ReplicaSet of the pod that is moved: its new pod has a name of its own, and is there before the source goes. */
export const replicaSetOf = ({status}: Migration) =>
  status?.ownerRefs?.find(({kind, controller}) => kind === 'ReplicaSet' && controller === true)

/** The name of the pod on the target. `pod`: the source, as long as the status does not name its owners. */
export function newPodNameOf({migration}: MigrationAt, pod?: Pod): string {
  const {metadata, spec} = migration
  const replica = pod === undefined ? replicaSetOf(migration) : replicaSetIn(pod.metadata.ownerReferences)
  const suffix = (metadata.uid ?? metadata.name).replaceAll('-', '').slice(0, 5)
  return replica === undefined ? spec.podName : objectName([replica.name, suffix])
}

/** Whether what a move restores from is complete: on its node for a direct one, in the store for the others. */
export const isComplete = (taken: Checkpoint | undefined, {status}: Migration): taken is Checkpoint =>
  taken?.status?.phase === (status?.way === 'Direct' ? 'Dumped' : 'Ready')

/** A pod whose dump cannot be sent has been stored: it goes on as a move by way of the store. */
export const storedInstead = (taken: Checkpoint | undefined, {migration}: MigrationAt) =>
  migration.status?.way === 'Direct' && taken?.status?.phase === 'Ready'
    ? ({way: 'Store', wayMessage: 'the dump of this pod cannot be sent from node to node'} as const)
    : undefined

/**
 * Makes the new pod of a ReplicaSet while the source is dumped, so that its sandbox, volumes and network come up
 * meanwhile; its containers start only in phase Moving, as the agent there sees to. A refusal is told in that phase.
 */
export async function makeEarly(taken: Checkpoint | undefined, at: MigrationAt): Promise<void> {
  const {migration, context} = at
  const {newPodName, way} = migration.status ?? {}
  const template = taken?.status?.podTemplate
  const isOfReplicaSet = newPodName !== undefined && newPodName !== migration.spec.podName
  if (way !== 'Direct' || !isOfReplicaSet || template === undefined) return
  if (migration.metadata.deletionTimestamp !== undefined) return
  if (context.objects.get('Pod', newPodName, migration.metadata.namespace) !== undefined) return
  const refusal = await ensure(targetPod(template, newPodName, false, at), context).then(
    () => undefined,
    refusalOf,
  )
  if (refusal !== undefined)
    context.log('warn', 'could not create the pod on the target in advance', {pod: newPodName, refusal})
}

/**
 * Removes what makeEarly made, for a move that is not to be; whether it is gone. None of its containers has started, so
 * the source need not wait for a node of which nothing is heard.
 */
export async function removeEarly(at: MigrationAt): Promise<boolean> {
  const {migration, context} = at
  const {newPodName = '', moveTime} = migration.status ?? {}
  if (moveTime !== undefined || newPodName === migration.spec.podName) return true
  const pod = await podNamed(newPodName, at)
  if (pod === undefined || !isMadeBy(pod, migration)) return true
  const {name, namespace, uid} = pod.metadata
  await context.kube.delete(refTo('Pod', name, namespace), {uid, graceSeconds: 0})
  return false
}

/** How long the target may still take to answer; it is given more for as long as it receives something. */
export function transferLeftMs(at: MigrationAt): number {
  const progressMs = Date.parse(at.migration.status?.transfer?.progressTime ?? '')
  const stoodMs = Number.isNaN(progressMs)
    ? phaseMs(at)
    : Math.min(phaseMs(at), at.context.now() - progressMs)
  return STALLED_MS - stoodMs
}

/**
 * What becomes of the dump of a direct move that has ended: it is stored where it is to be kept, or is all that is left
 * of the pod; otherwise it goes at once.
 */
export async function settleDumped({migration, context}: MigrationAt): Promise<Requeue> {
  const {status = {}, spec, metadata} = migration
  if (status.way !== 'Direct' || status.checkpointName === undefined) return undefined
  const object = await context.kube.get(refTo('Checkpoint', status.checkpointName, metadata.namespace))
  if (object?.metadata.labels?.[MIGRATION_LABEL] !== labelValue(metadata.name)) return undefined
  const {phase, frozen} = checkpointSchema.parse(object).status ?? {}
  if (isLazy({spec})) return frozen === true ? {requeueAfterMs: FROZEN_MS} : removeDump(object, context)
  const keeps = status.phase === 'Failed' || (status.phase === 'Succeeded' && spec.keep === true)
  if (keeps) return phase === 'Dumped' ? storeDumped(object, context) : undefined
  // To delete it would thaw the source, which its agent is about to end: two of the pod would run.
  if (frozen === true) return {requeueAfterMs: FROZEN_MS}
  return removeDump(object, context)
}

/** A dump that nothing decides about any more, because its Migration was deleted. */
export async function endUnowned(
  object: KubeObject,
  {metadata, spec, status = {}}: Checkpoint,
  context: ReconcileContext,
): Promise<Requeue> {
  if (status.phase !== 'Dumped' || metadata.deletionTimestamp !== undefined) return undefined
  const again = {requeueAfterMs: ORPHAN_MS}
  const label = metadata.labels?.[MIGRATION_LABEL]
  const isIts = ({metadata: {name}}: KubeObject): boolean => labelValue(name) === label
  if (context.objects.list('Migration', metadata.namespace).some(isIts)) return again
  const {namespace = 'default'} = metadata
  const migrations = await context.kube.list({apiVersion: WATCHED.Migration, kind: 'Migration', namespace})
  if (migrations.some(isIts)) return again
  const pods = parsed(await context.kube.list({apiVersion: 'v1', kind: 'Pod', namespace}), podSchema)
  const isSource = pods.some(({metadata: {uid}}) => uid === status.podUID)
  const made = pods.find(
    (pod) => pod.metadata.labels[MIGRATION_LABEL] === label && pod.metadata.uid !== status.podUID,
  )
  // Either of them may run: which one is to go on is for whoever deleted the Migration by force to say.
  if (made !== undefined && (isSource || !isReady(made))) return again
  // What has no memory in it is of no use.
  const hasMemory = spec.transfer?.lazy !== true
  const keeps = hasMemory && (made === undefined ? !isSource : spec.transfer?.keep === true)
  return keeps ? storeDumped(object, context) : removeDump(object, context)
}

/** Its agent seals it from the dump that it keeps. */
async function storeDumped(object: KubeObject, context: ReconcileContext): Promise<Requeue> {
  await writeStatus(object, {phase: 'Storing', message: 'storing the dump of the move'}, context)
  return undefined
}

async function removeDump({metadata}: KubeObject, context: ReconcileContext): Promise<Requeue> {
  if (metadata.deletionTimestamp !== undefined) return undefined
  context.signal.throwIfAborted()
  await context.kube.delete(
    refTo('Checkpoint', metadata.name, metadata.namespace),
    metadata.uid === undefined ? {} : {uid: metadata.uid},
  )
  return undefined
}
