import {isOver} from '../../checkpoint/ends.ts'
import {MIGRATION_FINALIZER, MIGRATION_LABEL} from '../../api/names.ts'
import {labelValue} from '../../api/object-names.ts'
import {migrationSchema, type Checkpoint, type Migration} from '../../api/resources.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {begin} from './migrate-begin.ts'
import {
  isComplete,
  makeEarly,
  newPodNameOf,
  removeEarly,
  replicaSetOf,
  settleDumped,
  storedInstead,
  transferLeftMs,
} from './migrate-direct.ts'
import {isLazy} from './migrate-lazy.ts'
import {move, rollBack} from './migrate-move.ts'
import {hasNextTarget, leaveTarget, refusedBy, withRefusal} from './migrate-next-target.ts'
import {asks, askNext, takerOf} from './migrate-taker.ts'
import {refusalOfTarget} from './migrate-target.ts'
import {verify} from './migrate-verify.ts'
import {
  checkpointOf,
  finish,
  keptCheckpointOf,
  migrationOf,
  phaseMs,
  podNamed,
  step,
  updateStatus,
  type MigrationAt,
} from './migration-state.ts'
import {timeText} from '../../base/time.ts'
import {removeFinalizer} from '../../operator/finalizers.ts'
import {ensure} from '../../operator/writes.ts'
import type {Requeue} from '../../operator/reconciler.ts'
import {
  labelledBy,
  parsed,
  refTo,
  WATCHED,
  type Reconciler,
  type ReconcileContext,
} from './reconcile-context.ts'

/** A checkpoint that a move has used is kept for so long. */
const KEEP_MS = 10 * 60_000
/** The agent of the target answers within so long. */
const ANSWER_MS = 60_000
/** And within so long where it has to make images before. */
const IMAGES_MS = 10 * 60_000
/** Between two looks whether a pod that was made in advance is gone. */
const EARLY_MS = 1000

/**
 * Moves a pod to another node with its memory. Each step is written to the status before the next begins, and may be
 * done twice; until the source is deleted, letting it go on undoes everything.
 */
export const migrationReconciler: Reconciler = {
  name: 'migration',
  kind: 'Migration',
  watches: {
    Checkpoint: ({metadata}, objects) =>
      labelledBy('Migration', metadata.labels?.[MIGRATION_LABEL], metadata.namespace, objects),
    Pod: ({metadata}, objects) =>
      parsed(objects.list('Migration', metadata.namespace), migrationSchema)
        .filter(
          (migration) =>
            !isOver(migration) &&
            [migration.spec.podName, migration.status?.newPodName].includes(metadata.name),
        )
        .map(({metadata: {name, namespace}}) => refTo('Migration', name, namespace)),
    // One that waits for another of the same pod.
    Migration: ({metadata}, objects) =>
      parsed(objects.list('Migration', metadata.namespace), migrationSchema)
        .filter(({metadata: other, status}) => other.name !== metadata.name && status?.phase === undefined)
        .map(({metadata: {name, namespace}}) => refTo('Migration', name, namespace)),
  },
  async reconcile(known, context) {
    const object = await asItIs(known, context)
    if (object === undefined) return undefined
    const at = migrationOf(object, context)
    const {status = {}, metadata} = at.migration
    switch (status.phase) {
      case undefined:
      case 'Pending':
        return metadata.deletionTimestamp === undefined ? begin(at) : removeOurs(at)
      case 'Checkpointing':
        return checkpoint(at)
      case 'Preparing':
        return prepare(at)
      case 'Moving':
        return move(at)
      case 'Verifying':
        return verify(at)
      case 'RollingBack':
        return rollBack(at)
      case 'Succeeded':
      case 'RolledBack':
      case 'Failed':
        return tidy(at)
    }
  },
}

/** Phases that delete pods. */
const MOVES: readonly unknown[] = ['Moving', 'Verifying', 'RollingBack']

/**
 * A Migration as the server has it now, where pods are deleted for its sake: what was heard last may be from before a
 * move was given up, and its source be about to be thawed.
 */
async function asItIs(known: KubeObject, {kube}: ReconcileContext): Promise<KubeObject | undefined> {
  const {metadata, status} = migrationSchema.parse(known)
  if (!MOVES.includes(status?.phase)) return known
  const now = await kube.get(refTo('Migration', metadata.name, metadata.namespace))
  return now?.metadata.uid === metadata.uid ? now : undefined
}

async function removeOurs({object, context}: MigrationAt): Promise<Requeue> {
  if (object.metadata.finalizers?.includes(MIGRATION_FINALIZER) === true)
    await removeFinalizer(object, MIGRATION_FINALIZER, context)
  return undefined
}

async function checkpoint(at: MigrationAt): Promise<Requeue> {
  const {migration, context} = at
  const {metadata, spec, status = {}} = migration
  const name = status.checkpointName ?? ''
  const made =
    (await checkpointOf(at)) ??
    (await ensure(
      {
        apiVersion: WATCHED.Checkpoint,
        kind: 'Checkpoint',
        metadata: {
          name,
          ...(metadata.namespace === undefined ? {} : {namespace: metadata.namespace}),
          labels: {[MIGRATION_LABEL]: labelValue(metadata.name)},
        },
        spec: {
          podRef: {name: spec.podName, uid: status.sourcePodUID},
          storeName: spec.storeName,
          podPolicy: 'Freeze',
          owner: spec.owner ?? `migration/${metadata.name}`,
          ...(status.way === 'Direct' ? {transfer: transferOf(migration)} : {}),
        },
      },
      context,
    ).then(() => checkpointOf(at)))
  const {phase, reason, message, frozen} = made?.status ?? {}
  if (phase === 'Failed') {
    // It holds nothing, and is not told as if it did.
    const why = message ?? 'the checkpoint failed'
    const {refusedByNodeName} = made?.status ?? {}
    if (refusedByNodeName !== undefined && refusedByNodeName === status.targetNodeName) {
      const refusedTargets = withRefusal(at, refusedByNodeName, why)
      if (await hasNextTarget(refusedBy(at, refusedTargets)))
        return leaveTarget(at, reason ?? 'TOO_LARGE', refusedTargets)
      if (refusedTargets.length > 1) return leaveTarget(at, reason ?? 'TOO_LARGE', refusedTargets)
    }
    if (!(await removeEarly(at))) return {requeueAfterMs: EARLY_MS}
    return finish(at, 'Failed', reason ?? 'CHECKPOINT_FAILED', why, {checkpointName: null})
  }
  const seen = {
    ...(frozen === true && status.freezeTime === undefined
      ? {freezeTime: made?.status?.freezeTime ?? new Date(context.now()).toISOString()}
      : {}),
    ...(made?.status?.preCopy === undefined ? {} : {preCopy: made.status.preCopy}),
  }
  await makeEarly(made, at)
  const instead = storedInstead(made, at)
  if (instead !== undefined) {
    await updateStatus(at, {...seen, ...instead})
    return undefined
  }
  if (isComplete(made, migration)) {
    if (metadata.deletionTimestamp !== undefined)
      return step(at, 'RollingBack', {...seen, reason: 'MIGRATION_FAILED'}, 'the migration was deleted')
    const unproven = unprovenOf(made, at)
    if (unproven !== undefined)
      return step(at, 'RollingBack', {...seen, reason: 'RESTORE_IMPOSSIBLE'}, unproven)
    const taker = await takerOf(made.metadata.deletionTimestamp === undefined ? made : undefined, at)
    if (taker.node === undefined)
      return step(at, 'RollingBack', {...seen, reason: taker.reason}, taker.message)
    return step(at, 'Preparing', {...seen, targetNodeName: taker.node}, asks(taker.node))
  }
  await updateStatus(at, {
    ...seen,
    message: message ?? `waiting for the node agent of ${status.sourceNodeName ?? ''}`,
  })
  return {requeueAfterMs: 10_000}
}

/**
 * Why the source must not be ended before it is restored, as one whose name the new pod needs would be: until then it
 * can be thawed. Undefined: it need not, or nothing is known against it.
 */
function unprovenOf(taken: Checkpoint | undefined, {migration}: MigrationAt): string | undefined {
  if (replicaSetOf(migration) !== undefined) return undefined
  const [first] = taken?.status?.obstacles ?? []
  return first === undefined
    ? undefined
    : `the pod would have to be deleted before it is restored under the same name, and the restore may fail: ${first.message}`
}

/** To which node the memory is sent. */
const transferOf = ({spec, status}: Migration) => ({
  nodeName: status?.targetNodeName,
  ...(spec.keep === true ? {keep: true} : {}),
  ...(spec.preCopy === true ? {preCopy: true} : {}),
  ...(isLazy({spec}) ? {lazy: true} : {}),
})

async function prepare(at: MigrationAt): Promise<Requeue> {
  const {migration, context} = at
  const {metadata, status = {}} = migration
  if (metadata.deletionTimestamp !== undefined)
    return step(at, 'RollingBack', {reason: 'MIGRATION_FAILED'}, 'the migration was deleted')
  if (status.targetAnswer !== undefined) return heedTarget(status.targetNodeName ?? '', at)
  const {node, reason, message} = await takerOf(await keptCheckpointOf(at), at)
  if (node === undefined) return step(at, 'RollingBack', {reason}, message)
  if (node !== status.targetNodeName)
    await updateStatus(at, {
      targetNodeName: node,
      phaseStartTime: timeText(context.now()),
      message: asks(node),
    })
  return heedTarget(node, at)
}

/** Goes on when the agent of the target has said that it can; until then the source could just go on. */
async function heedTarget(target: string, at: MigrationAt): Promise<Requeue> {
  const {migration} = at
  const {spec, status = {}} = migration
  const {targetAnswer: answer} = status
  if (answer === undefined) {
    const leftMs = answerLeftMs(at)
    if (leftMs > 0) return {requeueAfterMs: leftMs}
    return step(
      at,
      'RollingBack',
      {reason: 'RESTORE_UNSUPPORTED'},
      `the node agent of ${target} did not respond`,
    )
  }
  if (!answer.ok) return askNext({node: target, ...answer}, at)
  const taken = await keptCheckpointOf(at)
  if (taken?.status?.podTemplate === undefined)
    return step(at, 'RollingBack', {reason: 'CHECKPOINT_UNKNOWN'}, 'the checkpoint was deleted')
  const newPod = status.newPodName ?? newPodNameOf(at)
  const replaces = newPod === spec.podName
  // The new pod of a ReplicaSet may be there already: a direct move creates it in advance.
  if (replaces || (await podNamed(newPod, at)) === undefined) {
    const refusal = await refusalOfTarget(taken.status.podTemplate, newPod, replaces, at)
    if (refusal !== undefined) return step(at, 'RollingBack', {reason: 'API_REJECTED'}, refusal)
  }
  const moveTime = new Date(at.context.now()).toISOString()
  return step(at, 'Moving', {newPodName: newPod, moveTime}, `moving to ${target}`)
}

/** How long the agent of the target may still take to answer. */
function answerLeftMs(at: MigrationAt): number {
  const {spec, status} = at.migration
  if (status?.way === 'Direct') return transferLeftMs(at)
  return (spec.backend === 'CreateImage' ? IMAGES_MS : ANSWER_MS) - phaseMs(at)
}

/** After the end: the finalizer goes at once, the checkpoint some time later where a pod runs. */
async function tidy(at: MigrationAt): Promise<Requeue> {
  const {migration, object, context} = at
  const {metadata, spec, status = {}} = migration
  const again = await settleDumped(at)
  if (object.metadata.finalizers?.includes(MIGRATION_FINALIZER) === true) {
    await removeFinalizer(object, MIGRATION_FINALIZER, context)
    return undefined
  }
  if (again !== undefined) return again
  if (status.checkpointName === undefined || status.phase === 'Failed') return undefined
  if (status.way === 'Direct' || (spec.keep === true && status.phase === 'Succeeded')) return undefined
  const leftMs = Date.parse(status.completionTime ?? '') + KEEP_MS - context.now()
  if (leftMs > 0) return {requeueAfterMs: leftMs}
  const used = context.objects.get('Checkpoint', status.checkpointName, metadata.namespace)
  if (used?.metadata.labels?.[MIGRATION_LABEL] !== labelValue(metadata.name)) return undefined
  if (used.metadata.deletionTimestamp === undefined)
    await context.kube.delete(
      refTo('Checkpoint', status.checkpointName, metadata.namespace),
      used.metadata.uid === undefined ? {} : {uid: used.metadata.uid},
    )
  return undefined
}
