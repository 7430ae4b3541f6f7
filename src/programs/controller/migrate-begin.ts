import {isOver} from '../../checkpoint/ends.ts'
import {reasonNotToBeLazy} from '../../checkpoint/lazy.ts'
import {MIGRATION_FINALIZER, NODE_FEATURES_ANNOTATION} from '../../api/names.ts'
import {podTemplateOf, templatedPodSchema} from '../../checkpoint/pod-template.ts'
import {controllerOf, isRunning, nodeSchema, podSchema, restartsOf, type Pod} from '../../kubernetes/pod.ts'
import {reasonNotToMove} from '../../checkpoint/policies.ts'
import {migrationSchema, type Migration} from '../../api/resources.ts'
import {namespaceProblem} from './checkpoint-images.ts'
import {boundVolumes, claimProblem} from './pod-volumes.ts'
import {movesDirectly, newPodNameOf, wayTo} from './migrate-direct.ts'
import {imagesFirst} from './migrate-images.ts'
import {isLazy, servesPages} from './migrate-lazy.ts'
import {refusalsText, refusedNodes} from './migrate-next-target.ts'
import {refusalOfTarget} from './migrate-target.ts'
import {
  checkpointNameOf,
  finish,
  step,
  updateStatus,
  withStatus,
  type MigrationAt,
} from './migration-state.ts'
import {nodeFeaturesOf, placementOf, refusalText} from './placement.ts'
import {ownSpec} from './restored-pod.ts'
import {addFinalizer} from '../../operator/finalizers.ts'
import type {Requeue} from '../../operator/reconciler.ts'
import {parsed, refTo, type ReconcileContext} from './reconcile-context.ts'

/** Chooses the target and the way, and has everything found out that can be before the pod is frozen. */
export async function begin(at: MigrationAt): Promise<Requeue> {
  const {migration, context} = at
  const {spec, metadata} = migration
  const earlier = earlierOf(migration, context)
  if (earlier !== undefined) {
    await updateStatus(at, {phase: 'Pending', message: `waiting for migration ${earlier} of the same pod`})
    return {requeueAfterMs: 5000}
  }
  const found = await context.kube.get(refTo('Pod', spec.podName, metadata.namespace))
  const pod = found === undefined ? undefined : podSchema.parse(found)
  if (pod === undefined) return finish(at, 'Failed', 'POD_NOT_FOUND', `pod ${spec.podName} not found`)
  const target = await targetOf(pod, at)
  if (typeof target !== 'string') {
    const {refusedTargets} = migration.status ?? {}
    if (refusedTargets === undefined) return finish(at, 'Failed', target.reason, target.message)
    const kept = `pod ${spec.podName} keeps running on its node`
    return finish(
      at,
      'RolledBack',
      target.reason,
      `${kept}: ${refusalsText(refusedTargets)}; ${target.message}`,
    )
  }
  const images = await imagesFirst(pod, target, at)
  if (images !== 'done') return images
  const way = wayTo(target, pod.spec.nodeName ?? '', at)
  const newPodName = newPodNameOf(at, pod)
  if (found !== undefined && way.way === 'Direct') {
    const template = podTemplateOf(templatedPodSchema.parse(found))
    const wanted = withStatus(at, {targetNodeName: target, ownerRefs: pod.metadata.ownerReferences})
    const refusal = await refusalOfTarget(template, newPodName, newPodName === spec.podName, wanted)
    if (refusal !== undefined) return finish(at, 'Failed', 'API_REJECTED', refusal)
  }
  const object = await addFinalizer(at.object, MIGRATION_FINALIZER, context)
  return step(
    {...at, object},
    'Checkpointing',
    {
      checkpointName: checkpointNameOf(migration),
      sourceNodeName: pod.spec.nodeName,
      sourcePodUID: pod.metadata.uid,
      sourceRestartCount: restartsOf(pod),
      ownerRefs: pod.metadata.ownerReferences,
      startTime: migration.status?.startTime ?? new Date(context.now()).toISOString(),
      missingImages: null,
      ...way,
      ...(way.way === 'Direct' ? {targetNodeName: target, newPodName} : {}),
    },
    `checkpointing pod ${spec.podName} on ${pod.spec.nodeName ?? ''}`,
  )
}

/** Name of a move of the same pod that began before and is not over. */
function earlierOf({metadata, spec}: Migration, {objects}: ReconcileContext): string | undefined {
  const order = ({metadata: {creationTimestamp = '', name}}: Migration) => `${creationTimestamp} ${name}`
  const mine = `${metadata.creationTimestamp ?? ''} ${metadata.name}`
  return parsed(objects.list('Migration', metadata.namespace), migrationSchema).find(
    (other) =>
      other.metadata.name !== metadata.name &&
      other.spec.podName === spec.podName &&
      !isOver(other) &&
      (order(other) < mine || (other.status?.phase ?? 'Pending') !== 'Pending'),
  )?.metadata.name
}

const isAbleToBeLazy = (target: string, source: string, context: ReconcileContext): boolean =>
  [source, target].every((name) => servesPages(name, context) && movesDirectly(name, context))

/** The node that is best for the pod, or why it cannot be moved; what can be known before it has to stand still. */
async function targetOf(
  pod: Pod,
  {migration, context}: MigrationAt,
): Promise<string | {reason: string; message: string}> {
  const {spec} = migration
  const {nodeName} = pod.spec
  const failed = (message: string) => ({reason: 'MIGRATION_FAILED', message})
  if (!isRunning(pod) || nodeName === undefined)
    return {
      reason: 'POD_NOT_FOUND',
      message: `pod ${spec.podName} is not running: its phase is ${pod.status.phase ?? 'not set'}`,
    }
  const never = reasonNotToMove(pod)
  if (never !== undefined) return failed(`pod ${spec.podName} cannot be moved: ${never}`)
  if (spec.nodeName === nodeName) return failed(`pod ${spec.podName} is already on ${nodeName}`)
  const eager = isLazy(migration) ? reasonNotToBeLazy(pod, spec) : undefined
  if (eager !== undefined)
    return failed(`pod ${spec.podName} cannot be moved with memoryPolicy Lazy: ${eager}`)
  const claims = await claimProblem(pod, controllerOf(pod)?.kind === 'ReplicaSet', context)
  if (claims !== undefined) return failed(`pod ${spec.podName} cannot be moved: ${claims}`)
  const node = context.objects.get('Node', nodeName)
  const source = node === undefined ? undefined : nodeFeaturesOf(nodeSchema.parse(node))
  if (source === undefined)
    return {
      reason: 'ADDON_MISSING',
      message: `node ${nodeName} has no node agent: it lacks the annotation ${NODE_FEATURES_ANNOTATION}`,
    }
  const images =
    spec.backend === 'CreateImage' ? await namespaceProblem(migration.metadata.namespace, context) : undefined
  if (images !== undefined) return {reason: 'RESTORE_UNSUPPORTED', message: images}
  const places = placementOf(
    {
      source,
      backend: spec.backend ?? 'Handler',
      node: spec.nodeName,
      exceptNode: nodeName,
      spec: ownSpec(pod),
      volumes: await boundVolumes(pod.spec, migration.metadata.namespace, context),
    },
    context.objects,
  )
  const refused = refusedNodes(migration)
  const able = places.candidates
    .map((candidate) => candidate.node.metadata.name)
    .filter((name) => !refused.has(name))
  const names = able.filter((name) => !isLazy(migration) || isAbleToBeLazy(name, nodeName, context))
  if (able.length > 0 && names.length === 0)
    return {
      reason: 'RESTORE_UNSUPPORTED',
      message: `pod ${spec.podName} cannot be moved with memoryPolicy Lazy: ${nodeName} and ${able.join(', ')} cannot both serve memory (node feature postcopy) and move pods directly`,
    }
  // One that was asked already stays, as long as it can take it.
  const asked = names.find((name) => name === migration.status?.targetNodeName)
  return (
    asked ??
    names[0] ?? {
      reason: 'NODE_UNLIKE',
      message: `no node can run pod ${spec.podName}: ${refusalText(places)}`,
    }
  )
}
