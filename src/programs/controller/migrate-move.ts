import {MIGRATION_LABEL, ROLLED_BACK_ANNOTATION, THAW_ANNOTATION} from '../../api/names.ts'
import {labelValue} from '../../api/object-names.ts'
import {
  controllerOf,
  hasClaims,
  isTerminating,
  nodeSchema,
  podSchema,
  restartsOf,
  type Pod,
} from '../../kubernetes/pod.ts'
import {boundVolumes} from './pod-volumes.ts'
import {checkpointOf, finish, podNamed, step, updateStatus, type MigrationAt} from './migration-state.ts'
import {isMadeBy, refused, targetPod} from './migrate-target.ts'
import {isNodeReady, placementOf} from './placement.ts'
import {progressOf} from './restore-status.ts'
import {ownSpec, restoredPod} from './restored-pod.ts'
import {ensure, refusalOf} from '../../operator/writes.ts'
import {isComplete, removeEarly} from './migrate-direct.ts'
import {beginAgain, hasNextTarget} from './migrate-next-target.ts'
import {awaitsReadiness} from './migrate-verify.ts'
import {finishLost, finishWithoutSource, hasRunInPart, isLazy, mayNotHaveRun} from './migrate-lazy.ts'
import type {Requeue} from '../../operator/reconciler.ts'
import {refTo} from './reconcile-context.ts'

/** After so long a deleted pod of a node that is not ready is taken from the API: it stood still, and its kubelet ends it when it comes back. */
const GONE_MS = 60_000
const AGAIN_MS = 2000

/** Deletes the source, which stands still, and makes the pod on the target; one of a ReplicaSet is made first. */
export async function move(at: MigrationAt): Promise<Requeue> {
  const {migration, context} = at
  const {status = {}, spec} = migration
  const taken = await checkpointOf(at)
  const source = await podNamed(spec.podName, at)
  const isSource = source?.metadata.uid === status.sourcePodUID
  if (!isComplete(taken, migration))
    return step(
      at,
      'RollingBack',
      {reason: 'CHECKPOINT_UNKNOWN'},
      'the checkpoint was deleted or is not Ready',
    )
  if (isSource && source !== undefined && !isTerminating(source)) {
    if (taken.status?.frozen !== true)
      return step(
        at,
        'RollingBack',
        {reason: 'MIGRATION_FAILED'},
        'the pod was resumed before it could be moved',
      )
    // Its agent may have resumed the source before it could see that this phase has begun.
    if (taken.metadata.deletionTimestamp !== undefined)
      return step(at, 'RollingBack', {reason: 'CHECKPOINT_UNKNOWN'}, 'the checkpoint was deleted')
  }
  const replaces = status.newPodName === spec.podName
  if (replaces && source !== undefined) {
    if (isSource) {
      const again = await end(source, at)
      // One without volumes to let go of is gone at once.
      if ((await podNamed(spec.podName, at)) !== undefined) return again
    } else if (!isOurs(source, at)) return occupied(source, at)
  }
  const made = await podNamed(status.newPodName ?? '', at)
  if (made !== undefined && !isOurs(made, at)) return occupied(made, at)
  const template = taken.status?.podTemplate ?? {metadata: {}, spec: {containers: []}}
  const wanted = targetPod(template, status.newPodName ?? spec.podName, replaces, at)
  const found = made ?? (await ensure(wanted, context).catch(refusalOf))
  if (typeof found === 'string')
    return replaces ? refused(found, at) : step(at, 'RollingBack', {reason: 'API_REJECTED'}, found)
  const pod = podSchema.parse(found)
  return step(
    at,
    'Verifying',
    {newPodUID: pod.metadata.uid, awaitsReadiness: awaitsReadiness(pod), refusalTime: null},
    `starting pod ${pod.metadata.name} on ${status.targetNodeName ?? ''}`,
  )
}

/** Deletes the source, and waits until it is gone. */
async function end(source: Pod, at: MigrationAt): Promise<Requeue> {
  const {context, migration} = at
  const {name, namespace, uid, deletionTimestamp} = source.metadata
  const ref = refTo('Pod', name, namespace)
  context.signal.throwIfAborted()
  if (deletionTimestamp === undefined) {
    // It stands still, and its agent ends it before it could go on: only its volumes have to be let go of first.
    await context.kube.delete(ref, {uid, ...(hasClaims(source) ? {} : {graceSeconds: 0})})
    return {requeueAfterMs: AGAIN_MS}
  }
  const waitedMs = context.now() - Date.parse(deletionTimestamp)
  if (waitedMs > GONE_MS && !isNodeThere(migration.status?.sourceNodeName, at))
    await context.kube.delete(ref, {uid, graceSeconds: 0})
  await updateStatus(at, {
    message: `waiting for pod ${name} to be deleted from ${migration.status?.sourceNodeName ?? ''}`,
  })
  return {requeueAfterMs: AGAIN_MS}
}

function isNodeThere(name: string | undefined, {context}: MigrationAt): boolean {
  const node = name === undefined ? undefined : context.objects.get('Node', name)
  return node !== undefined && isNodeReady(nodeSchema.parse(node))
}

/** Another pod has the name: one that the source's controller made anew goes, anybody else's stays. */
async function occupied(pod: Pod, at: MigrationAt): Promise<Requeue> {
  const {migration, context} = at
  const {status = {}} = migration
  const {name, namespace, uid} = pod.metadata
  const owner = controllerOf(pod)
  if (owner !== undefined && status.ownerRefs?.some((one) => one.uid === owner.uid) === true) {
    await context.kube.delete(refTo('Pod', name, namespace), {uid, graceSeconds: 0})
    return {requeueAfterMs: AGAIN_MS}
  }
  const keeps = `checkpoint ${status.checkpointName ?? ''} contains the memory of the moved pod`
  return finish(at, 'Failed', 'MIGRATION_FAILED', `another pod named ${name} was created; ${keeps}`)
}

/** Lets the source go on, or makes it anew from the checkpoint where it was. */
export async function rollBack(at: MigrationAt): Promise<Requeue> {
  const {migration} = at
  const {status = {}, spec} = migration
  const reason = status.reason ?? 'MIGRATION_FAILED'
  if (hasRunInPart(migration)) return giveUp(at)
  if (!(await removeEarly(at))) return {requeueAfterMs: AGAIN_MS}
  const source = await podNamed(spec.podName, at)
  const isSource = source !== undefined && source.metadata.uid === status.sourcePodUID
  // Its probes fail while it stands still, and a kubelet that gives up on it begins it anew: that is not what was moved.
  const beganAnew = isSource && restartsOf(source) > (status.sourceRestartCount ?? 0)
  // It may have come to life there, and two of it must not run.
  const target = status.newPodName === spec.podName ? undefined : await podNamed(status.newPodName ?? '', at)
  if (target !== undefined && isOurs(target, at)) return leave(target, at)
  if (isSource && !isTerminating(source) && !beganAnew) {
    if (await thawIfFrozen(at)) return {requeueAfterMs: AGAIN_MS}
    if (await hasNextTarget(at)) return beginAgain(at)
    return finish(
      at,
      'RolledBack',
      reason,
      `pod ${spec.podName} keeps running on its node: ${status.message ?? ''}`,
    )
  }
  if (isSource) return end(source, at)
  if (source !== undefined) {
    if (isOurs(source, at) && source.metadata.annotations[ROLLED_BACK_ANNOTATION] === 'true')
      return verifyBack(source, at)
    if (!isOurs(source, at)) return occupied(source, at)
    return leave(source, at)
  }
  return makeBack(at)
}

/**
 * Ends both pods of a move whose pod has run on the target without all of its memory: the source is older than what
 * others saw of the pod, and must not go on.
 */
async function giveUp(at: MigrationAt): Promise<Requeue> {
  const {status = {}, spec} = at.migration
  const target = await podNamed(status.newPodName ?? '', at)
  if (target !== undefined && isOurs(target, at)) return leave(target, at)
  if (mayNotHaveRun(at)) return {requeueAfterMs: AGAIN_MS}
  const source = await podNamed(spec.podName, at)
  if (source !== undefined && source.metadata.uid === status.sourcePodUID) return end(source, at)
  return finishLost(at)
}

/**
 * Ends the pod on the target. It may run there although nothing is heard of its node, and two of it must not run: only who
 * knows that the machine is off can say so, by deleting its Node.
 */
async function leave(pod: Pod, at: MigrationAt): Promise<Requeue> {
  const {name, namespace, uid} = pod.metadata
  const {nodeName = ''} = pod.spec
  // What it would do on a signal is for the one that goes on to do.
  if (!isTerminating(pod)) await at.context.kube.delete(refTo('Pod', name, namespace), {uid, graceSeconds: 1})
  if (nodeName !== '' && !isNodeThere(nodeName, at))
    await updateStatus(at, {
      message: `waiting for node ${nodeName}, where pod ${name} may still run; if its machine is off permanently, delete the node`,
    })
  return {requeueAfterMs: AGAIN_MS}
}

/** Asks the agent to let the source go on; whether it still stands. */
async function thawIfFrozen(at: MigrationAt): Promise<boolean> {
  const {context} = at
  const taken = await checkpointOf(at)
  if (taken?.status?.frozen !== true) return false
  const {name, namespace, annotations = {}} = taken.metadata
  if (annotations[THAW_ANNOTATION] !== 'true') {
    context.signal.throwIfAborted()
    await context.kube.patch(refTo('Checkpoint', name, namespace), {
      metadata: {annotations: {[THAW_ANNOTATION]: 'true'}},
    })
  }
  return true
}

async function makeBack(at: MigrationAt): Promise<Requeue> {
  const {migration, context} = at
  const {metadata, spec, status = {}} = migration
  if (isLazy(migration)) return finishWithoutSource(at)
  const taken = await checkpointOf(at)
  const template = taken?.status?.podTemplate
  if (taken === undefined || template === undefined)
    return finish(
      at,
      'Failed',
      'CHECKPOINT_UNKNOWN',
      `pod ${spec.podName} and its checkpoint no longer exist`,
    )
  const {nodeFeatures} = taken.status ?? {}
  const volumes = await boundVolumes(template.spec, metadata.namespace, context)
  const places = placementOf(
    {source: nodeFeatures, backend: 'Handler', spec: ownSpec(template), volumes},
    context.objects,
  )
  // A dump that is in no store is on the two nodes of the move only.
  const holds = (name: string): boolean => taken.status?.phase !== 'Dumped' || name === status.targetNodeName
  const others = places.candidates.map(({node}) => node.metadata.name).filter(holds)
  const back = status.sourceNodeName ?? ''
  if (!isNodeThere(back, at) && others.length === 0) {
    await updateStatus(at, {message: `waiting for a node that can run pod ${spec.podName} again`})
    return {requeueAfterMs: 10_000}
  }
  const made = await ensure(
    restoredPod({
      namespace: metadata.namespace ?? 'default',
      name: spec.podName,
      template,
      checkpoint: taken.metadata.name,
      backend: 'Handler',
      // It may be cordoned: it was there all the same.
      nodes: isNodeThere(back, at) ? {bound: back} : others.slice(0, 20),
      labels: {[MIGRATION_LABEL]: labelValue(metadata.name)},
      annotations: {[ROLLED_BACK_ANNOTATION]: 'true'},
      owners: status.ownerRefs ?? [],
      takesPlace: true,
    }),
    context,
  ).catch(refusalOf)
  return typeof made === 'string' ? refused(made, at) : {requeueAfterMs: AGAIN_MS}
}

async function verifyBack(pod: Pod, at: MigrationAt): Promise<Requeue> {
  const {migration, context} = at
  const {status = {}, spec} = migration
  const reason = status.reason ?? 'MIGRATION_FAILED'
  const progress = progressOf(pod)
  if (progress.state === 'ready' || progress.state === 'running')
    return finish(
      at,
      'RolledBack',
      reason,
      `pod ${spec.podName} was restored from its checkpoint on ${pod.spec.nodeName ?? ''}: ${status.message ?? ''}`,
    )
  if (progress.state === 'waiting') return {requeueAfterMs: AGAIN_MS}
  await context.kube.delete(refTo('Pod', spec.podName, pod.metadata.namespace), {uid: pod.metadata.uid})
  const {namespace} = pod.metadata
  const place = `${namespace}/${status.checkpointName ?? ''}`
  const next = `its checkpoint ${place} is kept; restore it with \`clouder checkpoint restore ${place}\``
  return finish(
    at,
    'Failed',
    progress.reason,
    `the pod could not be restored on any node: ${progress.message}; ${next}`,
  )
}

const isOurs = (pod: Pod, {migration}: MigrationAt): boolean => isMadeBy(pod, migration)
