import {cloudOf, hasBastionHost} from '../src/spec/cloud-machines.ts'
import type {ClusterSpec} from '../src/spec/cluster-spec.ts'
import {HOST_PORTS} from '../src/spec/syntax.ts'

/** Who may be allowed to talk to a machine: a role of the network, or administrators from outside. */
export type PortSource =
  'control-plane' | 'worker' | 'bastion' | 'api-balancer' | 'service-balancer' | 'administrators'

/** What listens. */
export type PortTarget = 'control-plane' | 'worker' | 'bastion' | 'api-balancer' | 'shared-files'

/** One opening in a network that is otherwise closed. */
export interface PortRule {
  /** Unique and stable; names of rules are made of it. */
  readonly id: string
  readonly from: PortSource
  readonly to: PortTarget
  readonly protocol: 'tcp' | 'udp'
  readonly firstPort: number
  readonly lastPort: number
  /** For whoever reads the rule in the cloud's console. */
  readonly why: string
}

interface Port {
  readonly name: string
  readonly protocol: 'tcp' | 'udp'
  readonly first: number
  readonly last: number
  readonly why: string
}

const tcp = (name: string, first: number, why: string, last = first): Port => ({
  name,
  protocol: 'tcp',
  first,
  last,
  why,
})

const SSH = tcp('ssh', 22, 'SSH')
const API = tcp('api', 6443, 'Kubernetes API')
const ETCD = tcp('etcd', 2379, 'etcd clients and peers', 2380)
const KUBELET = tcp('kubelet', 10250, 'kubelet API')
const NODE_PORTS = tcp('node-ports', 30_000, 'node ports of services', 32_767)
const NFS = tcp('nfs', 2049, 'NFS')
const AGENT = tcp('agent', HOST_PORTS.agent, 'node agents: sealed pieces of checkpoints')
/** What flannel uses on Linux unless told otherwise. */
const VXLAN: Port = {name: 'vxlan', protocol: 'udp', first: 8472, last: 8472, why: 'pod network'}

/**
 * Every opening that a kubeadm cluster needs, and no other; whatever leaves is not restricted here.
 * The scheduler (10259) and the controller manager (10257) are not among them: kubeadm binds both to 127.0.0.1.
 * With cni `none` whoever installs a pod network opens its ports.
 * https://kubernetes.io/docs/reference/networking/ports-and-protocols/
 */
export function portMatrix(spec: ClusterSpec): readonly PortRule[] {
  const nodes = ['control-plane', 'worker'] as const
  const cloud = cloudOf(spec)
  const hasBastion = hasBastionHost(spec)
  // Session Manager connects from inside the machine; what has a public address needs neither it nor a jump host.
  const sshToNodes = cloud?.network.mode === 'public' || cloud?.bastion === 'none'
  // Pods that call the API by its service leave their node as the node itself, so workers need it beside the balancer.
  return [
    ...open(API, [...nodes, 'api-balancer'], ['control-plane']),
    ...open(API, [...nodes, ...(hasBastion ? (['bastion'] as const) : [])], ['api-balancer']),
    ...open(API, ['administrators'], ['api-balancer']),
    ...open(ETCD, ['control-plane'], ['control-plane']),
    // Control planes for logs, exec and checkpoints; workers for metrics-server, which runs on one of them.
    ...open(KUBELET, nodes, nodes),
    ...(spec.network.cni === 'flannel' ? open(VXLAN, nodes, nodes) : []),
    ...open(NODE_PORTS, ['service-balancer'], spec.controlPlane.schedulable ? nodes : ['worker']),
    ...(hasBastion ? [...open(SSH, ['administrators'], ['bastion']), ...open(SSH, ['bastion'], nodes)] : []),
    ...(sshToNodes ? open(SSH, ['administrators'], nodes) : []),
    ...(cloud?.sharedFiles === true ? open(NFS, nodes, ['shared-files']) : []),
    // Last: on Azure the rules before keep their numbers.
    ...(spec.checkpoint.enabled ? open(AGENT, nodes, nodes) : []),
  ]
}

function open(port: Port, from: readonly PortSource[], to: readonly PortTarget[]): readonly PortRule[] {
  return to.flatMap((target) =>
    from.map((source) => ({
      id: `${target}_${port.name}_from_${source}`,
      from: source,
      to: target,
      protocol: port.protocol,
      firstPort: port.first,
      lastPort: port.last,
      why: `${port.why} from ${source}`,
    })),
  )
}
