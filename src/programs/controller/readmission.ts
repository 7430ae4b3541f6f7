import {RESTORE_LABEL} from '../../api/names.ts'
import {labelValue} from '../../api/object-names.ts'
import {podSchema} from '../../kubernetes/pod.ts'
import {podTemplateOf, templatedPodSchema} from '../../checkpoint/pod-template.ts'
import type {Checkpoint} from '../../api/resources.ts'
import {isTransient} from '../../base/errors.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {claimProblem} from './pod-volumes.ts'
import {refusalByDryRun} from './dry-run.ts'
import {restoredPod} from './restored-pod.ts'
import {timeText} from '../../base/time.ts'
import {writeStatus} from '../../operator/writes.ts'
import type {Requeue} from '../../operator/reconciler.ts'
import {refTo, type ReconcileContext} from './reconcile-context.ts'

const AGAIN_MS = 5_000

/**
 * Says of a Checkpoint that will end its pod whether the API server would take that pod again, which its agent waits
 * for; where it would not, the Checkpoint fails, and the pod was never touched. Undefined: there is nothing to say.
 */
export async function admitEnd(
  object: KubeObject,
  checkpoint: Checkpoint,
  context: ReconcileContext,
): Promise<Requeue> {
  const {metadata, spec, status = {}} = checkpoint
  const {phase = 'Pending', admitted} = status
  if (spec.podPolicy !== 'Delete' || spec.podRef === undefined || phase !== 'Pending' || admitted === true)
    return undefined
  const found = await context.kube.get(refTo('Pod', spec.podRef.name, metadata.namespace))
  if (found === undefined || (spec.podRef.uid ?? found.metadata.uid) !== found.metadata.uid) return undefined
  const {nodeName} = podSchema.parse(found).spec
  if (nodeName === undefined) return undefined
  const why = await whyNot(found, nodeName, checkpoint, context)
  if (why === 'undecided') return {requeueAfterMs: AGAIN_MS}
  const next =
    why === undefined
      ? {admitted: true}
      : {
          phase: 'Failed',
          reason: 'API_REJECTED',
          message: `pod ${spec.podRef.name} keeps running, because it could not be created again: ${why}`,
          completionTime: timeText(context.now()),
        }
  await writeStatus(object, next, context)
  return undefined
}

async function whyNot(
  found: KubeObject,
  node: string,
  {metadata}: Checkpoint,
  context: ReconcileContext,
): Promise<string | undefined> {
  const claim = await claimProblem(podSchema.parse(found), false, context)
  if (claim !== undefined) return claim
  const {namespace = 'default', name} = found.metadata
  const pod = restoredPod({
    namespace,
    name,
    template: podTemplateOf(templatedPodSchema.parse(found)),
    checkpoint: metadata.name,
    backend: 'Handler',
    nodes: [node],
    labels: {[RESTORE_LABEL]: labelValue(metadata.name)},
    owners: [],
    takesPlace: false,
  })
  const askedForMs = context.now() - (Date.parse(metadata.creationTimestamp ?? '') || context.now())
  return refusalByDryRun(pod, {takesPlace: true, askedForMs}, context).catch((error: unknown) => {
    if (!isTransient(error)) throw error
    context.log('info', 'could not check yet whether the API server would accept a pod again', {
      pod: name,
      error: error.message,
    })
    return 'undecided'
  })
}
