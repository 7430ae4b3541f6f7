import {isDeepStrictEqual} from 'node:util'
import {isOver} from '../../checkpoint/ends.ts'
import {RUNTIME_LABEL} from '../../api/names.ts'
import {labelValue, objectName} from '../../api/object-names.ts'
import {isRunning, isTerminating, podSchema, type Pod} from '../../kubernetes/pod.ts'
import {
  checkpointSchema,
  migrationSchema,
  restoreSchema,
  runtimeSchema,
  type Checkpoint,
  type Runtime,
} from '../../api/resources.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {lastingObjects, ownersOf, runtimePod} from './runtime-objects.ts'
import {timeText} from '../../base/time.ts'
import {ensure, writeStatus, refusalOf} from '../../operator/writes.ts'
import type {Requeue} from '../../operator/reconciler.ts'
import {
  parsed,
  refTo,
  WATCHED,
  type Reconciler,
  type ReconcileContext,
  labelledBy,
} from './reconcile-context.ts'

const AGAIN_MS = 5000

/** Runs, pauses and resumes what a Runtime describes, as its switch says. */
export const runtimeReconciler: Reconciler = {
  name: 'runtime',
  kind: 'Runtime',
  watches: {
    Pod: ({metadata}, objects) =>
      labelledBy('Runtime', metadata.labels?.[RUNTIME_LABEL], metadata.namespace, objects),
    Checkpoint: ({metadata}, objects) =>
      labelledBy('Runtime', metadata.labels?.[RUNTIME_LABEL], metadata.namespace, objects),
    Restore: ({metadata}, objects) =>
      labelledBy('Runtime', metadata.labels?.[RUNTIME_LABEL], metadata.namespace, objects),
  },
  async reconcile(object, context) {
    const runtime = runtimeSchema.parse(object)
    const {metadata, spec} = runtime
    if (metadata.deletionTimestamp !== undefined) return undefined
    const found = await context.kube.get(refTo('Pod', metadata.name, metadata.namespace))
    const pod = found === undefined ? undefined : podSchema.parse(found)
    const at = {object, runtime, pod, context}
    if (pod !== undefined && pod.metadata.labels[RUNTIME_LABEL] !== labelValue(metadata.name))
      return fail(at, 'RESTORE_FAILED', `pod ${metadata.name} exists and does not belong to this runtime`)
    for (const lasting of lastingObjects(runtime)) {
      const made = await ensure(lasting, context).catch(refusalOf)
      if (typeof made === 'string') return refused(at, made)
    }
    return spec.state === 'Running' ? run(at) : pause(at)
  },
}

const REFUSED_AGAIN_MS = 30_000

interface RuntimeAt {
  readonly object: KubeObject
  readonly runtime: Runtime
  readonly pod: Pod | undefined
  readonly context: ReconcileContext
}

type Status = NonNullable<Runtime['status']>
type Fields = {readonly [K in keyof Status]?: Status[K] | null | undefined}

async function run(at: RuntimeAt): Promise<Requeue> {
  const {runtime, pod, context} = at
  const {metadata, status = {}} = runtime
  if (pod !== undefined && isTerminating(pod)) return {requeueAfterMs: 1000}
  if (pod !== undefined) return running(pod, at)
  const moves = parsed(context.objects.list('Migration', metadata.namespace), migrationSchema)
  if (moves.some((move) => move.spec.podName === metadata.name && !isOver(move) && move.status !== undefined))
    return {requeueAfterMs: AGAIN_MS}
  const from = pausedIn(at)
  if (from !== undefined) return resume(from.metadata.name, at)
  if (status.checkpointName !== undefined && status.phase === 'Paused')
    return fail(
      at,
      'CHECKPOINT_UNKNOWN',
      `checkpoint ${status.checkpointName}, which contains its memory, no longer exists`,
    )
  const made = await ensure(runtimePod(runtime), context).catch(refusalOf)
  if (typeof made === 'string') return refused(at, made)
  await updateStatus(at, {phase: 'Pending', reason: null, message: 'starting its pod', checkpointName: null})
  return undefined
}

/** It is wanted for as long as it says so: what is refused is told, and tried again now and then. */
async function refused(at: RuntimeAt, why: string): Promise<Requeue> {
  await updateStatus(at, {phase: 'Pending', reason: 'API_REJECTED', message: why})
  return {requeueAfterMs: REFUSED_AGAIN_MS}
}

async function running(pod: Pod, at: RuntimeAt): Promise<Requeue> {
  const {runtime, context} = at
  const {status = {}, metadata} = runtime
  if (!isRunning(pod)) {
    const resuming = status.phase === 'Resuming'
    await updateStatus(at, {phase: resuming ? 'Resuming' : 'Pending', message: 'starting its pod'})
    return {requeueAfterMs: AGAIN_MS}
  }
  // A pod that runs before the Restore has said so may still turn out to have begun anew.
  const restore = restoreOf(at, status.checkpointName)
  if (status.phase === 'Resuming' && restore?.status?.phase !== 'Restored') return {requeueAfterMs: AGAIN_MS}
  await updateStatus(at, {
    phase: 'Running',
    reason: null,
    message: null,
    nodeName: pod.spec.nodeName,
    checkpointName: null,
    observedGeneration: metadata.generation,
    ...(status.phase === 'Resuming' ? {resumeTime: timeText(context.now())} : {}),
  })
  return undefined
}

async function resume(checkpoint: string, at: RuntimeAt): Promise<Requeue> {
  const {runtime, context} = at
  const {metadata} = runtime
  const restore = restoreOf(at, checkpoint)
  if (restore?.status?.phase === 'Failed')
    return fail(
      at,
      restore.status.reason ?? 'RESTORE_FAILED',
      restore.status.message ?? 'the restore failed',
      {
        checkpointName: checkpoint,
      },
    )
  const {status = {}} = runtime
  // What failed is tried again when somebody asks for it, also when its Restore has been cleaned up meanwhile.
  const failedSo = status.phase === 'Failed' && status.observedGeneration === metadata.generation
  if (restore === undefined && failedSo && status.checkpointName === checkpoint) return undefined
  await updateStatus(at, {
    phase: 'Resuming',
    reason: null,
    message: `resuming from checkpoint ${checkpoint}`,
    checkpointName: checkpoint,
  })
  await ensure(
    {
      apiVersion: WATCHED.Restore,
      kind: 'Restore',
      metadata: {
        name: restoreName(at, checkpoint),
        namespace: metadata.namespace ?? 'default',
        labels: {[RUNTIME_LABEL]: labelValue(metadata.name)},
        ownerReferences: ownersOf(runtime),
      },
      spec: {checkpointName: checkpoint, podName: metadata.name},
    },
    context,
  )
  return {requeueAfterMs: AGAIN_MS}
}

/** A new one for each change of the spec: what failed is tried again when somebody asks for it. */
const restoreName = ({runtime}: RuntimeAt, checkpoint: string): string =>
  objectName([checkpoint, `r${runtime.metadata.generation ?? 0}`])

function restoreOf(at: RuntimeAt, checkpoint: string | undefined) {
  const {runtime, context} = at
  if (checkpoint === undefined) return undefined
  const object = context.objects.get('Restore', restoreName(at, checkpoint), runtime.metadata.namespace)
  return object === undefined ? undefined : restoreSchema.parse(object)
}

async function pause(at: RuntimeAt): Promise<Requeue> {
  const {runtime, pod, context} = at
  const {metadata, status = {}, spec} = runtime
  if (pod === undefined) return paused(at)
  if (isTerminating(pod)) {
    await updateStatus(at, {phase: 'Pausing', message: 'waiting for its pod to be deleted'})
    return {requeueAfterMs: 1000}
  }
  if (!isRunning(pod)) {
    await context.kube.delete(refTo('Pod', metadata.name, metadata.namespace), {uid: pod.metadata.uid})
    return {requeueAfterMs: 1000}
  }
  const name = objectName([metadata.name, `p${metadata.generation ?? 0}`])
  const made = await ensure(
    {
      apiVersion: WATCHED.Checkpoint,
      kind: 'Checkpoint',
      metadata: {
        name,
        namespace: metadata.namespace ?? 'default',
        labels: {[RUNTIME_LABEL]: labelValue(metadata.name)},
        ownerReferences: ownersOf(runtime),
      },
      spec: {
        podRef: {name: metadata.name, uid: pod.metadata.uid},
        storeName: spec.storeName,
        podPolicy: 'Delete',
        owner: `runtime/${metadata.name}`,
      },
    },
    context,
  )
  const {phase, reason, message} = checkpointSchema.parse(made).status ?? {}
  if (phase === 'Failed')
    return fail(
      at,
      reason ?? 'CHECKPOINT_FAILED',
      `pausing failed, the runtime keeps running: ${message ?? ''}`,
    )
  await updateStatus(at, {
    phase: 'Pausing',
    reason: null,
    message: message ?? 'creating a checkpoint',
    ...(phase === 'Ready' ? {checkpointName: name} : {}),
  })
  return status.phase === 'Failed' ? undefined : {requeueAfterMs: AGAIN_MS}
}

async function paused(at: RuntimeAt): Promise<Requeue> {
  const {runtime, context} = at
  const {metadata, status = {}} = runtime
  const from = pausedIn(at)
  await updateStatus(at, {
    phase: 'Paused',
    reason: null,
    message: from === undefined ? 'it has not run yet' : `its memory is in checkpoint ${from.metadata.name}`,
    nodeName: null,
    checkpointName: from?.metadata.name ?? null,
    observedGeneration: metadata.generation,
    ...(status.phase === 'Paused' ? {} : {pauseTime: timeText(context.now())}),
  })
  // Those that it went on from earlier.
  for (const old of pausesOf(at)) {
    const isOld = from !== undefined && old.metadata.name !== from.metadata.name
    if (isOld && old.metadata.deletionTimestamp === undefined)
      await context.kube.delete(
        refTo('Checkpoint', old.metadata.name, metadata.namespace),
        old.metadata.uid === undefined ? {} : {uid: old.metadata.uid},
      )
  }
  return undefined
}

/** Checkpoints by which this Runtime was paused, newest first. */
function pausesOf({runtime, context}: RuntimeAt): readonly Checkpoint[] {
  const {metadata} = runtime
  return parsed(context.objects.list('Checkpoint', metadata.namespace), checkpointSchema)
    .filter(
      (checkpoint) =>
        checkpoint.spec.owner === `runtime/${metadata.name}` &&
        checkpoint.metadata.labels?.[RUNTIME_LABEL] === labelValue(metadata.name) &&
        checkpoint.status?.phase === 'Ready',
    )
    .toSorted((one, other) => endOf(other) - endOf(one))
}

const endOf = ({status, metadata}: Checkpoint): number =>
  Date.parse(status?.completionTime ?? metadata.creationTimestamp ?? '') || 0

/** The Checkpoint that it goes on from: the last one, unless it has gone on from that already. */
function pausedIn(at: RuntimeAt): Checkpoint | undefined {
  const [newest] = pausesOf(at)
  if (newest === undefined || newest.metadata.deletionTimestamp !== undefined) return undefined
  const resumedMs = Date.parse(at.runtime.status?.resumeTime ?? '') || 0
  return endOf(newest) > resumedMs ? newest : undefined
}

async function updateStatus({object, runtime, context}: RuntimeAt, fields: Fields): Promise<void> {
  const before: Readonly<Record<string, unknown>> = runtime.status ?? {}
  const isTold = Object.entries(fields).every(([key, value]) =>
    isDeepStrictEqual(before[key] ?? null, value ?? null),
  )
  if (!isTold) await writeStatus(object, fields, context)
}

async function fail(at: RuntimeAt, reason: string, message: string, fields: Fields = {}): Promise<Requeue> {
  await updateStatus(at, {
    phase: 'Failed',
    reason,
    message,
    observedGeneration: at.runtime.metadata.generation,
    ...fields,
  })
  return undefined
}
