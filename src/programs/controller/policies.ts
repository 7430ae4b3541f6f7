import {createHash} from 'node:crypto'
import {isDeepStrictEqual} from 'node:util'
import {POLICY_LABEL, RUNTIME_LABEL} from '../../api/names.ts'
import {labelValue, objectName} from '../../api/object-names.ts'
import {controllerOf, isRunning, podSchema, quantity, type Pod} from '../../kubernetes/pod.ts'
import {selects} from '../../checkpoint/policies.ts'
import {
  checkpointPolicySchema,
  checkpointSchema,
  migrationSchema,
  type Checkpoint,
  type CheckpointPolicy,
  type CheckpointSpec,
} from '../../api/resources.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {withCondition} from '../../operator/conditions.ts'
import {recordEvent} from '../../operator/events.ts'
import {idleTimes, type IdleTimes} from './idle.ts'
import {deleteExpired} from './retention.ts'
import {dueBy, type Due} from './schedule.ts'
import {timeText} from '../../base/time.ts'
import {ensure, writeStatus} from '../../operator/writes.ts'
import {
  parsed,
  refTo,
  WATCHED,
  type Reconciler,
  type ReconcileContext,
  labelledBy,
} from './reconcile-context.ts'

const IDLE_LOOK_MS = 20_000
/** A move that is older has been told of. */
const NEWS_MS = 10 * 60_000
const OWNER = 'policy/'
/** Retention by age needs a look now and then. */
const LOOK_MS = 10 * 60_000

interface PolicyAt {
  readonly object: KubeObject
  readonly policy: CheckpointPolicy
  readonly pods: readonly Pod[]
  readonly made: readonly Checkpoint[]
  readonly context: ReconcileContext
}

/** Makes the Checkpoints that policies ask for, by time and by idleness, and deletes those that are not kept. */
export function policyReconciler(): Reconciler {
  const idle = idleTimes()
  return {
    name: 'policy',
    kind: 'CheckpointPolicy',
    watches: {
      Checkpoint: ({metadata}, objects) =>
        labelledBy('CheckpointPolicy', metadata.labels?.[POLICY_LABEL], metadata.namespace, objects),
      Migration: (object) => {
        const {spec, metadata} = migrationSchema.safeParse(object).data ?? {}
        const name = spec?.owner?.startsWith(OWNER) === true ? spec.owner.slice(OWNER.length) : undefined
        return name === undefined ? [] : [refTo('CheckpointPolicy', name, metadata?.namespace)]
      },
    },
    reconcile: (object, context) => reconcile(object, idle, context),
  }
}

async function reconcile(object: KubeObject, idle: IdleTimes, context: ReconcileContext) {
  const policy = checkpointPolicySchema.parse(object)
  const {metadata, spec} = policy
  context.metrics.policies(context.objects.list('CheckpointPolicy').length)
  if (metadata.deletionTimestamp !== undefined) return undefined
  // Chosen before they are parsed: many policies look at many pods.
  const {namespace} = metadata
  const chosen = context.objects
    .list('Pod', namespace)
    .filter((pod) => selects(spec.selector, pod.metadata.labels ?? {}))
  const pods = parsed(chosen, podSchema).filter(isRunning)
  const ours = context.objects
    .list('Checkpoint', namespace)
    .filter((checkpoint) => checkpoint.metadata.labels?.[POLICY_LABEL] === labelValue(metadata.name))
  const made = parsed(ours, checkpointSchema)
  const at = {object, policy, pods, made, context}
  await recordMoves(at)
  const time = dueOf(policy, context)
  const problem = time instanceof Error ? time.message : undefined
  const due = time instanceof Error ? undefined : time
  if (due?.dueMs !== undefined && spec.suspend !== true) await takeAll(at, due.dueMs)
  if (spec.suspend !== true) await takeIdle(at, idle)
  const deleted = spec.retention === undefined ? 0 : await deleteExpired(made, spec.retention, context)
  await writePolicyStatus(at, due, problem, deleted)
  const waits = [
    LOOK_MS,
    ...(due?.nextMs === undefined ? [] : [due.nextMs - context.now()]),
    ...(spec.idle === undefined || spec.suspend === true ? [] : [IDLE_LOOK_MS]),
  ]
  return {requeueAfterMs: Math.max(0, Math.min(...waits))}
}

/** Moves that were asked for in its name: by a drain, or because the cloud takes a machine back. */
async function recordMoves({object, policy: {metadata}, context}: PolicyAt): Promise<void> {
  for (const migration of parsed(context.objects.list('Migration', metadata.namespace), migrationSchema)) {
    const {owner, podName} = migration.spec
    const ageMs = context.now() - Date.parse(migration.metadata.creationTimestamp ?? '')
    if (owner !== `${OWNER}${metadata.name}` || !(ageMs < NEWS_MS)) continue
    await recordEvent(
      object,
      'Normal',
      'Move',
      `moving pod ${podName}: migration ${migration.metadata.name}`,
      context,
    )
  }
}

/** An Error says what is wrong with the schedule. */
function dueOf({metadata, spec, status}: CheckpointPolicy, {now}: ReconcileContext): Due | Error | undefined {
  if (spec.schedule === undefined) return undefined
  const last = status?.lastScheduleTime ?? metadata.creationTimestamp
  const lastMs = Date.parse(last ?? '') || now()
  try {
    return dueBy(spec.schedule, spec.timeZone, lastMs, now())
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

/** One Checkpoint per pod; one that is under way is enough. */
async function takeAll(at: PolicyAt, dueMs: number): Promise<void> {
  const {object, pods, made, context} = at
  const time = timeText(dueMs).slice(0, 16).replaceAll(/[-T:]/g, '')
  const busy = new Set(
    made
      .filter(({status}) => status?.phase !== 'Ready' && status?.phase !== 'Failed')
      .map(({spec}) => spec.podRef?.uid),
  )
  // What this very run made before it was cut off does not count as under way: it is found again by its name.
  const wanted = pods.filter(
    (pod) =>
      !busy.has(pod.metadata.uid) ||
      made.some(({metadata}) => metadata.name === nameFor(at.policy, pod, time)),
  )
  for (const pod of wanted) await take(at, pod, time, 'Resume')
  if (wanted.length > 0)
    await recordEvent(
      object,
      'Normal',
      'Scheduled',
      `creating ${wanted.length} checkpoints scheduled for ${timeText(dueMs)}`,
      context,
    )
}

async function take(
  {policy, context}: PolicyAt,
  pod: Pod,
  suffix: string,
  podPolicy: CheckpointSpec['podPolicy'],
): Promise<void> {
  const {metadata, spec} = policy
  const runtime = pod.metadata.labels[RUNTIME_LABEL]
  await ensure(
    {
      apiVersion: WATCHED.Checkpoint,
      kind: 'Checkpoint',
      metadata: {
        name: nameFor(policy, pod, suffix),
        namespace: pod.metadata.namespace,
        labels: {
          [POLICY_LABEL]: labelValue(metadata.name),
          ...(runtime === undefined ? {} : {[RUNTIME_LABEL]: runtime}),
        },
      },
      spec: {
        podRef: {name: pod.metadata.name, uid: pod.metadata.uid},
        storeName: spec.storeName,
        podPolicy,
        owner: `${OWNER}${metadata.name}`,
      },
    },
    context,
  )
}

/** The same for the same pod and time, so that a run that was cut off makes none twice. */
function nameFor({metadata}: CheckpointPolicy, pod: Pod, suffix: string): string {
  const digest = createHash('sha256').update(pod.metadata.uid).digest('hex').slice(0, 8)
  return objectName([metadata.name, digest, suffix])
}

async function takeIdle(at: PolicyAt, idle: IdleTimes): Promise<void> {
  const {policy, pods, context} = at
  const wanted = policy.spec.idle
  if (wanted === undefined) return
  const key = `${policy.metadata.namespace ?? ''}/${policy.metadata.name}`
  idle.keepOnly(key, new Set(pods.map(({metadata}) => metadata.uid)))
  for (const pod of pods) {
    const {uid} = pod.metadata
    const {nodeName} = pod.spec
    if (nodeName === undefined) continue
    const figures = {uid, node: nodeName, cores: quantity(wanted.cpu)}
    const idleMs = await idle.idleMs(key, figures, context)
    if (idleMs === undefined || idleMs < wanted.durationSeconds * 1000 || idle.isNoted(key, uid)) continue
    await takeOneIdle(at, pod, wanted.podPolicy)
    idle.note(key, uid)
  }
}

async function takeOneIdle(at: PolicyAt, pod: Pod, podPolicy: 'Resume' | 'Delete'): Promise<void> {
  const {object, policy, context} = at
  const {name, namespace} = pod.metadata
  const label = pod.metadata.labels[RUNTIME_LABEL]
  const runtime = labelledBy('Runtime', label, namespace, context.objects)[0]?.name
  const owner = controllerOf(pod)
  if (podPolicy === 'Delete' && runtime !== undefined) {
    context.signal.throwIfAborted()
    const {resourceVersion} = context.objects.get('Runtime', runtime, namespace)?.metadata ?? {}
    // Somebody may have changed it in this moment, to have it run on.
    const ref = refTo('Runtime', runtime, namespace)
    await context.kube.patch(ref, {spec: {state: 'Paused'}}, {resourceVersion})
    await recordEvent(object, 'Normal', 'Idle', `pausing runtime ${runtime}`, context)
  } else if (podPolicy === 'Delete' && owner !== undefined) {
    const why = `${owner.kind} ${owner.name} would create it again, so it keeps running`
    await recordEvent(object, 'Warning', 'Idle', `pod ${name} is idle; ${why}`, context)
  } else {
    const suffix = `idle${timeText(context.now()).slice(0, 16).replaceAll(/[-T:]/g, '')}`
    await take(at, pod, suffix, podPolicy)
    await recordEvent(
      object,
      'Normal',
      'Idle',
      `creating a checkpoint of pod ${name}, idle for ${policy.spec.idle?.durationSeconds} s`,
      context,
    )
  }
}

async function writePolicyStatus(
  {object, policy, pods, made, context}: PolicyAt,
  due: Due | undefined,
  problem: string | undefined,
  deleted: number,
): Promise<void> {
  const {metadata, status = {}} = policy
  const valid =
    problem === undefined
      ? {type: 'Valid', status: 'True' as const, reason: 'Valid', message: 'the schedule is valid'}
      : {type: 'Valid', status: 'False' as const, reason: 'ScheduleInvalid', message: problem}
  const next = {
    observedGeneration: metadata.generation,
    ...(due?.dueMs === undefined ? {} : {lastScheduleTime: timeText(due.dueMs)}),
    nextScheduleTime: due?.nextMs === undefined ? undefined : timeText(due.nextMs),
    pods: pods.length,
    checkpoints: made.length - deleted,
    conditions: withCondition(status.conditions, valid, {
      generation: metadata.generation,
      nowMs: context.now(),
    }),
  }
  const before: Readonly<Record<string, unknown>> = status
  if (Object.entries(next).every(([key, value]) => isDeepStrictEqual(before[key], value))) return
  // A merge patch takes away what is null.
  await writeStatus(object, {...next, nextScheduleTime: next.nextScheduleTime ?? null}, context)
}
