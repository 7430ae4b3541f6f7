import {createHash} from 'node:crypto'
import {isOver} from '../../checkpoint/ends.ts'
import {noticesSchema, type Notice} from '../../checkpoint/interruption.ts'
import {API_VERSION, BACKEND_LABELS, INTERRUPTION_ANNOTATION, POLICY_LABEL} from '../../api/names.ts'
import {labelValue, objectName} from '../../api/object-names.ts'
import {nodeSchema, podSchema, type Pod} from '../../kubernetes/pod.ts'
import {drainPlan, type PodToMove} from '../../checkpoint/policies.ts'
import {checkpointPolicySchema, migrationSchema} from '../../api/resources.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {isNodeReady} from './placement.ts'
import {ensure} from '../../operator/writes.ts'
import {jsonOf} from '../../base/json.ts'
import {parsed, refTo, type Objects, type Reconciler, type ReconcileContext} from './reconcile-context.ts'

const AGAIN_MS = 5_000

/**
 * Saves the pods of a node whose machine the cloud announced to take away, once per notice: those that policies with
 * `checkpointOnInterruption` opt in are moved; where no other node restores, or their move came to nothing, checkpointed.
 */
export function interruptionReconciler(): Reconciler {
  /** By node. */
  const settled = new Map<string, ReadonlySet<string>>()
  return {
    name: 'interruption',
    kind: 'Node',
    async reconcile(object, context) {
      const {name} = object.metadata
      const [before, now] = [settled.get(name), new Set<string>()]
      let left = 0
      for (const {id} of noticesOf(object, context)) {
        const ofNotice = before?.has(id) === true ? 0 : await savePods(name, `${name} ${id}`, context)
        if (ofNotice === 0) now.add(id)
        left += ofNotice
      }
      settled.set(name, now)
      return left === 0 ? undefined : {requeueAfterMs: AGAIN_MS}
    },
  }
}

function noticesOf({metadata}: KubeObject, {log}: ReconcileContext): readonly Notice[] {
  const text = metadata.annotations?.[INTERRUPTION_ANNOTATION]
  if (text === undefined) return []
  const {data, error} = noticesSchema.safeParse(jsonOf(text))
  if (data === undefined)
    log('warn', 'a node reports an invalid interruption notice', {node: metadata.name, error: error.message})
  return data ?? []
}

/** Gives how many pods are still to be looked at again. */
async function savePods(node: string, notice: string, context: ReconcileContext): Promise<number> {
  const {objects, log} = context
  const moves = parsed(objects.list('Migration'), migrationSchema)
  const pods = parsed(objects.list('Pod'), podSchema).filter(({spec}) => spec.nodeName === node)
  const policies = parsed(objects.list('CheckpointPolicy'), checkpointPolicySchema)
  const {move} = drainPlan(pods, policies, 'checkpointOnInterruption')
  const elsewhere = hasOtherNode(node, objects)
  let left = 0
  for (const one of move) {
    const {namespace, name: pod} = one.pod.metadata
    const name = nameFor(one.pod, notice)
    const itsMoves = moves.filter(
      ({metadata, spec}) => metadata.namespace === namespace && spec.podName === pod,
    )
    const tried = itsMoves.some(({metadata}) => metadata.name === name)
    if (itsMoves.some((migration) => !isOver(migration))) left += 1
    // Gone, or not yet known to be.
    else if (!(await isThere(one.pod, context))) left += 1
    else if (elsewhere && !tried) {
      left += 1
      await ensure(migrationOf(one, name), context)
      log('info', 'moving a pod off a node that is about to be interrupted', {pod, namespace, node})
    } else {
      await ensure(checkpointOf(one, name), context)
      log('info', 'creating a checkpoint of a pod on a node that is about to be interrupted', {
        pod,
        namespace,
        node,
        moved: tried,
      })
    }
  }
  return left
}

/** What was last heard of a pod may be behind a move of it that is over. */
async function isThere({metadata}: Pod, {kube}: ReconcileContext): Promise<boolean> {
  const found = await kube.get(refTo('Pod', metadata.name, metadata.namespace))
  return found?.metadata.uid === metadata.uid && found.metadata.deletionTimestamp === undefined
}

const hasOtherNode = (own: string, objects: Objects): boolean =>
  parsed(objects.list('Node'), nodeSchema).some(
    (node) =>
      node.metadata.name !== own &&
      node.spec.unschedulable !== true &&
      Object.values(BACKEND_LABELS).some((label) => node.metadata.labels[label] === 'true') &&
      isNodeReady(node),
  )

/** One name per pod and notice, so that a controller that takes over asks for nothing twice. */
function nameFor({metadata}: Pod, notice: string): string {
  const digest = createHash('sha256').update(`${metadata.name} ${notice}`).digest('hex').slice(0, 8)
  return objectName(['interruption', metadata.name, digest])
}

const migrationOf = ({pod, policy, store}: PodToMove, name: string): KubeObject => ({
  apiVersion: API_VERSION,
  kind: 'Migration',
  metadata: {name, namespace: pod.metadata.namespace},
  spec: {podName: pod.metadata.name, storeName: store, owner: `policy/${policy}`},
})

const checkpointOf = ({pod, policy, store}: PodToMove, name: string): KubeObject => ({
  apiVersion: API_VERSION,
  kind: 'Checkpoint',
  metadata: {name, namespace: pod.metadata.namespace, labels: {[POLICY_LABEL]: labelValue(policy)}},
  spec: {
    podRef: {name: pod.metadata.name, uid: pod.metadata.uid},
    storeName: store,
    podPolicy: 'Resume',
    owner: `policy/${policy}`,
  },
})
