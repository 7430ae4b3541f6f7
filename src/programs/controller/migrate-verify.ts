import {z} from 'zod'
import type {Checkpoint, Migration} from '../../api/resources.ts'
import {isTerminating, type Pod} from '../../kubernetes/pod.ts'
import type {Requeue} from '../../operator/reconciler.ts'
import {handOver} from './migrate-hand-over.ts'
import {awaitPages, isLazy, pagesOf} from './migrate-lazy.ts'
import {
  checkpointOf,
  finish,
  phaseMs,
  podNamed,
  step,
  updateStatus,
  type MigrationAt,
} from './migration-state.ts'
import {progressOf} from './restore-status.ts'

/** As long as a restored pod may take to be ready. */
const READY_MS = 5 * 60_000
/** A pod that has no node after so long will not get the one that it is bound to. */
const PLACED_MS = 45_000
const AGAIN_MS = 2000

type Status = NonNullable<Migration['status']>

/**
 * Waits until the pod on the target is ready; if that is not to be, goes back. That its processes run, which its node
 * agent reports before the kubelet does, ends the downtime, but not the move: until the kubelet has seen the pod ready,
 * what fails is rolled back.
 */
export async function verify(at: MigrationAt): Promise<Requeue> {
  const {migration, context} = at
  const {status = {}, spec} = migration
  const pod = await podNamed(status.newPodName ?? '', at)
  if (pod === undefined || pod.metadata.uid !== status.newPodUID || isTerminating(pod)) return deleted(at)
  const pages = pagesOf(migration)
  if (pages?.state === 'Lost' || pages?.state === 'NotStarted')
    return step(at, 'RollingBack', {reason: 'RESTORE_FAILED'}, pages.message ?? pages.state)
  const progress = progressOf(pod)
  if (progress.state === 'failed') return step(at, 'RollingBack', {reason: progress.reason}, progress.message)
  if (progress.state !== 'ready') {
    const limitMs = pod.spec.nodeName === undefined ? PLACED_MS : READY_MS
    if (phaseMs(at) > limitMs)
      return step(at, 'RollingBack', {reason: 'MIGRATION_FAILED'}, `timed out: ${progress.message}`)
    await updateStatus(at, await runningFields(progress.message, at))
    return {requeueAfterMs: AGAIN_MS}
  }
  const readyMs = readySince(pod, context.now())
  const ready = {
    readyTime: status.readyTime ?? new Date(readyMs).toISOString(),
    ...(status.downtimeMilliseconds === undefined ? downtimeOf(status, readyMs) : {}),
  }
  if (isLazy(migration) && pages?.state !== 'Complete') return awaitPages(ready, at)
  const transferredBytes = bytesOf(await checkpointOf(at), status)
  if (status.newPodName !== spec.podName) await handOver(pod, at)
  return finish(
    at,
    'Succeeded',
    null,
    `pod ${pod.metadata.name} is now running on ${status.targetNodeName ?? ''}`,
    {
      downtimeMilliseconds: status.downtimeMilliseconds,
      ...ready,
      ...(transferredBytes === undefined ? {} : {transferredBytes}),
    },
  )
}

/**
 * The pod on the target was deleted. One that ran there had been reported as moved: to restore it would undo what
 * somebody has decided about the moved pod. A ReplicaSet wants a pod in any case, and its source is still there.
 */
async function deleted(at: MigrationAt): Promise<Requeue> {
  const {status = {}, spec} = at.migration
  const {runningTime, newPodName = '', targetNodeName = ''} = status
  if (runningTime === undefined || newPodName !== spec.podName)
    return step(at, 'RollingBack', {reason: 'MIGRATION_FAILED'}, 'the pod on the target was deleted')
  const transferredBytes = bytesOf(await checkpointOf(at), status)
  return finish(at, 'Succeeded', null, `pod ${newPodName} ran on ${targetNodeName}, and was deleted there`, {
    ...downtimeOf(status, at.context.now()),
    ...(transferredBytes === undefined ? {} : {transferredBytes}),
  })
}

/** What is written until the pod is ready: the result of the move as far as it is known, once its processes run. */
async function runningFields(
  message: string,
  at: MigrationAt,
): Promise<Pick<Status, 'message' | 'downtimeMilliseconds' | 'transferredBytes'>> {
  const {status = {}} = at.migration
  if (status.runningTime === undefined) return {message}
  const running = `the processes of pod ${status.newPodName ?? ''} run on ${status.targetNodeName ?? ''}`
  const next = status.awaitsReadiness === true ? message : 'waiting for the kubelet to report the pod ready'
  const told = {message: `${running}; ${next}`}
  if (status.downtimeMilliseconds !== undefined) return told
  const transferredBytes = bytesOf(await checkpointOf(at), status)
  return {
    ...told,
    ...downtimeOf(status, at.context.now()),
    ...(transferredBytes === undefined ? {} : {transferredBytes}),
  }
}

const bytesOf = (taken: Checkpoint | undefined, {way, transfer: moved}: Status): number | undefined => {
  const {transfer, storedBytes, sizeBytes} = taken?.status ?? {}
  const bytes = way === 'Direct' ? transfer?.sizeBytes : (storedBytes ?? sizeBytes)
  return bytes === undefined ? undefined : bytes + (moved?.pages?.receivedBytes ?? 0)
}

/** The nodes' clocks may differ by more than a short move takes: it is not less than nothing, nor more than until now. */
function downtimeOf({freezeTime, runningTime}: Status, nowMs: number) {
  const frozenMs = Date.parse(freezeTime ?? '')
  if (Number.isNaN(frozenMs)) return {}
  const untilNowMs = Math.max(0, nowMs - frozenMs)
  const runningMs = Date.parse(runningTime ?? '')
  const downtimeMs = Number.isNaN(runningMs)
    ? untilNowMs
    : Math.min(untilNowMs, Math.max(0, runningMs - frozenMs))
  return {downtimeMilliseconds: Math.round(downtimeMs)}
}

/** A controller that took over sees late what was ready before; the server tells that to the second only. */
function readySince({status}: Pod, nowMs: number): number {
  const ready = status.conditions?.find(({type}) => type === 'Ready')
  const sinceMs = Date.parse(ready?.lastTransitionTime ?? '')
  return nowMs - sinceMs > 2000 ? sinceMs : nowMs
}

const containerSchema = z.looseObject({
  readinessProbe: z.looseObject({}).nullish(),
  startupProbe: z.looseObject({}).nullish(),
  lifecycle: z.looseObject({postStart: z.looseObject({}).nullish()}).nullish(),
})
const readinessSchema = z.looseObject({
  containers: z.array(containerSchema).default([]),
  initContainers: z.array(containerSchema).nullish(),
  readinessGates: z.array(z.looseObject({})).nullish(),
})

/** Whether a pod may not be ready although all of its processes run: probes, hooks or gates decide that. */
export function awaitsReadiness(pod: Pod): boolean {
  const {containers, initContainers, readinessGates} = readinessSchema.parse(pod.spec)
  return (
    (readinessGates ?? []).length > 0 ||
    [...containers, ...(initContainers ?? [])].some(
      ({readinessProbe, startupProbe, lifecycle}) =>
        (readinessProbe ?? startupProbe ?? lifecycle?.postStart) != null,
    )
  )
}
