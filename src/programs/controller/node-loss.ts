import {nodeSchema, podSchema} from '../../kubernetes/pod.ts'
import type {Checkpoint} from '../../api/resources.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {nodeFeaturesOf, isNodeReady} from './placement.ts'
import {timeText} from '../../base/time.ts'
import {writeStatus} from '../../operator/writes.ts'
import type {Requeue} from '../../operator/reconciler.ts'
import {refTo, type ReconcileContext} from './reconcile-context.ts'

/** A node that is not ready for so long does not bring a checkpoint to its end. */
const LOST_MS = 5 * 60_000
/** An agent takes what is for it within so long. */
const CLAIM_MS = 60_000
const AGAIN_MS = 20_000

interface Verdict {
  readonly reason: string
  readonly message: string
}

/** Ends a Checkpoint that no agent will: its pod or its node is gone, or there is no agent. */
export async function endOrphan(
  object: KubeObject,
  checkpoint: Checkpoint,
  context: ReconcileContext,
): Promise<Requeue> {
  const {phase = 'Pending'} = checkpoint.status ?? {}
  // The target may have all of a dump whose node is lost: its Migration decides.
  if (phase === 'Ready' || phase === 'Failed' || phase === 'Dumped') return undefined
  if (checkpoint.spec.podRef === undefined) return undefined
  const verdict = phase === 'Pending' ? await unclaimed(checkpoint, context) : lost(checkpoint, context)
  if (verdict === undefined) return {requeueAfterMs: AGAIN_MS}
  // Its agent, when it comes back, lets a pod that stands still go on; it may have stored it in this moment: that is not
  // taken back, and the pod of what is stored not thawed.
  await writeStatus(object, {phase: 'Failed', ...verdict, completionTime: timeText(context.now())}, context)
  return undefined
}

async function unclaimed(
  {metadata, spec}: Checkpoint,
  {kube, objects, now}: ReconcileContext,
): Promise<Verdict | undefined> {
  const name = spec.podRef?.name ?? ''
  const found = await kube.get(refTo('Pod', name, metadata.namespace))
  if (found === undefined) return {reason: 'POD_NOT_FOUND', message: `pod ${name} not found`}
  const pod = podSchema.parse(found)
  if (spec.podRef?.uid !== undefined && spec.podRef.uid !== pod.metadata.uid)
    return {
      reason: 'POD_NOT_FOUND',
      message: `pod ${name} is not the requested one: its uid is ${pod.metadata.uid}, expected ${spec.podRef.uid}`,
    }
  const sinceMs = Date.parse(metadata.creationTimestamp ?? '') || now()
  if (now() - sinceMs < CLAIM_MS) return undefined
  const {nodeName} = pod.spec
  if (nodeName === undefined || pod.status.phase === 'Pending')
    return {reason: 'POD_NOT_FOUND', message: `pod ${name} is not running yet`}
  const node = objects.get('Node', nodeName)
  const parsedNode = node === undefined ? undefined : nodeSchema.parse(node)
  if (parsedNode !== undefined && isNodeReady(parsedNode) && nodeFeaturesOf(parsedNode) !== undefined)
    return undefined
  return {
    reason: 'ADDON_MISSING',
    message: `no node agent started the checkpoint: node ${nodeName} is not ready or has no node agent`,
  }
}

function lost({status}: Checkpoint, {objects, now}: ReconcileContext): Verdict | undefined {
  const name = status?.nodeName ?? ''
  const object = objects.get('Node', name)
  if (object === undefined)
    return {reason: 'CHECKPOINT_FAILED', message: `node ${name} was removed before the checkpoint was stored`}
  const node = nodeSchema.parse(object)
  const ready = node.status.conditions?.find(({type}) => type === 'Ready')
  const sinceMs = Date.parse(ready?.lastTransitionTime ?? '')
  if (isNodeReady(node) || Number.isNaN(sinceMs) || now() - sinceMs < LOST_MS) return undefined
  return {reason: 'CHECKPOINT_FAILED', message: `node ${name} was lost before the checkpoint was stored`}
}
