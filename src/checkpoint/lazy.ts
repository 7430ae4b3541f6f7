import type {Pod} from '../kubernetes/pod.ts'

export interface LazyMove {
  readonly backend?: string | undefined
  readonly keep?: boolean | undefined
  readonly preCopy?: boolean | undefined
}

/**
 * Why a pod cannot be moved before its memory is. Its source must stay until then: one whose name the new pod needs
 * would be deleted first, with its memory. Undefined: it can.
 */
export function reasonNotToBeLazy(
  pod: Pod,
  {backend = 'Handler', keep, preCopy}: LazyMove,
): string | undefined {
  if (backend !== 'Handler') return `backend ${backend} restores from the store only`
  if (keep === true) return 'its checkpoint would contain no memory to keep'
  if (preCopy === true) return 'preCopy copies memory before the pod is frozen, and Lazy after it'
  if (
    !pod.metadata.ownerReferences.some(({kind, controller}) => kind === 'ReplicaSet' && controller === true)
  )
    return 'it is not a pod of a ReplicaSet, so it would have to be deleted before its memory has arrived'
  // CRIU runs in a network namespace of its own, and would take the node's for one to dump.
  if (pod.spec.hostNetwork === true) return 'it is in the network of its node (hostNetwork)'
  if (pod.spec.containers.length > 1) return 'it has more than one container'
  return undefined
}
