import type {CheckpointPolicy} from '../api/resources.ts'
import {controllerOf, isMirror, isTerminating, type Pod} from '../kubernetes/pod.ts'

type Selector = CheckpointPolicy['spec']['selector']

/** Whether labels are those that a selector means; an empty selector means every pod. */
export function selects(
  {matchLabels = {}, matchExpressions = []}: Selector,
  labels: Readonly<Record<string, string>>,
): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({key, operator, values = []}) => {
      const label = labels[key]
      switch (operator) {
        case 'In':
          return label !== undefined && values.includes(label)
        case 'NotIn':
          return label === undefined || !values.includes(label)
        case 'Exists':
          return label !== undefined
        case 'DoesNotExist':
          return label === undefined
      }
    })
  )
}

/** Policies that count for a pod: of its namespace, selecting it, not suspended; in order of their names. */
export function policiesFor(pod: Pod, policies: readonly CheckpointPolicy[]): readonly CheckpointPolicy[] {
  return policies
    .filter(
      ({metadata, spec}) =>
        (metadata.namespace ?? 'default') === pod.metadata.namespace &&
        spec.suspend !== true &&
        selects(spec.selector, pod.metadata.labels),
    )
    .toSorted((one, other) => (one.metadata.name < other.metadata.name ? -1 : 1))
}

export interface PodToMove {
  readonly pod: Pod
  /** Name of the policy that opted it in, and its store. */
  readonly policy: string
  readonly store: string
}

export interface DrainPlan {
  /** Moved with their memory. */
  readonly move: readonly PodToMove[]
  /** Evicted as by any drain. */
  readonly evict: readonly Pod[]
  /** Left: those of DaemonSets, of the node itself, and those that have ended or are ending. */
  readonly leave: readonly {readonly pod: Pod; readonly why: string}[]
}

/**
 * What becomes of the pods of a node: those that a policy with `migrateOnDrain` (or `checkpointOnInterruption`) opts in are moved, those
 * that a drain leaves alone stay, the rest is evicted.
 */
export function drainPlan(
  pods: readonly Pod[],
  policies: readonly CheckpointPolicy[],
  reason: 'migrateOnDrain' | 'checkpointOnInterruption' = 'migrateOnDrain',
): DrainPlan {
  const move: PodToMove[] = []
  const evict: Pod[] = []
  const leave: {pod: Pod; why: string}[] = []
  for (const pod of pods) {
    const why = reasonToLeave(pod)
    if (why !== undefined) {
      leave.push({pod, why})
      continue
    }
    const policy = policiesFor(pod, policies).find(({spec}) => spec[reason] === true)
    if (policy === undefined || pod.status.phase !== 'Running' || reasonNotToMove(pod) !== undefined)
      evict.push(pod)
    else move.push({pod, policy: policy.metadata.name, store: policy.spec.storeName})
  }
  return {move, evict, leave}
}

function reasonToLeave(pod: Pod): string | undefined {
  if (isMirror(pod)) return 'it is a static pod of the node'
  if (controllerOf(pod)?.kind === 'DaemonSet') return 'it belongs to a DaemonSet, which runs one on each node'
  if (isTerminating(pod)) return 'it is already being deleted'
  const {phase} = pod.status
  return phase === 'Succeeded' || phase === 'Failed' ? 'it has completed' : undefined
}

/** Why a pod cannot be moved by a Migration, whatever the nodes are; undefined: it can. */
export function reasonNotToMove(pod: Pod): string | undefined {
  if (isMirror(pod)) return 'it is a static pod of the node'
  const owner = controllerOf(pod)
  if (owner?.kind === 'DaemonSet') return `it belongs to DaemonSet ${owner.name}, which runs one on each node`
  if (owner?.kind === 'Job')
    return `Job ${owner.name} would count a deleted pod as failed and start a new one from the beginning`
  return undefined
}
