import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {Machine, Taint} from '../../spec/machine.ts'

const POOL_LABEL = 'clouder.dev/pool'

/** Labels of Kubernetes itself that a kubelet may give its own node. */
const OWN_LABELS = new Set(['topology.kubernetes.io/region', 'topology.kubernetes.io/zone'])
const OWN_PREFIXES = new Set(['node.kubernetes.io', 'kubelet.kubernetes.io'])

const CONTROL_PLANE_TAINT: Taint = {
  key: 'node-role.kubernetes.io/control-plane',
  value: '',
  effect: 'NoSchedule',
}

/** What a machine's node is to carry: the labels of its pool and host, and the pool's name. */
export function wantedLabels(machine: Machine): Readonly<Record<string, string>> {
  return {...(machine.pool === undefined ? {} : {[POOL_LABEL]: machine.pool}), ...machine.labels}
}

/**
 * Those of them that the kubelet gives its node when it registers, so that no pod is ever placed without them; the
 * API server allows a kubelet no others
 * (https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction).
 */
export function registrationLabels(machine: Machine): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(wantedLabels(machine)).filter(([key]) => isKubeletsOwn(key)))
}

/** Taints from the first moment; undefined: kubeadm's own choice is right. */
export function registrationTaints(machine: Machine, spec: ClusterSpec): readonly Taint[] | undefined {
  const isClosed = machine.role === 'control-plane' && !spec.controlPlane.schedulable
  if (machine.taints.length > 0) return [...(isClosed ? [CONTROL_PLANE_TAINT] : []), ...machine.taints]
  return machine.role === 'control-plane' && spec.controlPlane.schedulable ? [] : undefined
}

function isKubeletsOwn(key: string): boolean {
  const prefix = key.includes('/') ? key.slice(0, key.indexOf('/')) : ''
  if (OWN_LABELS.has(key) || [...OWN_PREFIXES].some((own) => isWithin(prefix, own))) return true
  return !isWithin(prefix, 'kubernetes.io') && !isWithin(prefix, 'k8s.io')
}

const isWithin = (domain: string, parent: string): boolean =>
  domain === parent || domain.endsWith(`.${parent}`)
