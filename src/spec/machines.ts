import {parseAddress} from '../base/cidr.ts'
import type {ClusterSpec} from './cluster-spec.ts'
import type {Machine, Taint} from './machine.ts'

type HostEntry = ClusterSpec['controlPlane']['hosts'][number]

/** A node that the spec asks for, before anybody knows its machine. */
export interface PlannedNode {
  /** `cp-1`, `worker-2`: role or pool and number, unless a host names itself. */
  readonly name: string
  readonly role: Machine['role']
  /** Name of the worker pool; undefined for control planes. */
  readonly pool: string | undefined
  readonly labels: Readonly<Record<string, string>>
  readonly taints: readonly Taint[]
  /** What the user wrote about the machine; undefined where the provider makes it. */
  readonly host: HostEntry | undefined
  /** Where the host stands in the document. */
  readonly path: readonly (string | number)[]
}

/** Every node of the spec, control planes first, in a stable order. */
export function plannedNodes(spec: ClusterSpec): readonly PlannedNode[] {
  const controlPlanes = range(spec.controlPlane.count ?? 1, spec.controlPlane.hosts).map(
    (host, index): PlannedNode => ({
      name: host?.name ?? `cp-${index + 1}`,
      role: 'control-plane',
      pool: undefined,
      labels: host?.labels ?? {},
      taints: host?.taints ?? [],
      host,
      path: ['spec', 'controlPlane', 'hosts', index],
    }),
  )
  const workers = spec.workers.flatMap((pool, poolIndex) =>
    range(pool.count ?? 1, pool.hosts).map((host, index): PlannedNode => ({
      name: host?.name ?? `${pool.name}-${index + 1}`,
      role: 'worker',
      pool: pool.name,
      labels: {...pool.labels, ...host?.labels},
      taints: [...pool.taints, ...(host?.taints ?? [])],
      host,
      path: ['spec', 'workers', poolIndex, 'hosts', index],
    })),
  )
  return [...controlPlanes, ...workers]
}

/** Names of all nodes of the spec, control planes first. */
export function nodeNames(spec: ClusterSpec): readonly string[] {
  return plannedNodes(spec).map((node) => node.name)
}

/** The machines that the user brings, with the cluster's SSH settings where a host has none of its own. */
export function byonMachines(spec: ClusterSpec): readonly Machine[] {
  return plannedNodes(spec).flatMap((node) => {
    if (node.host === undefined) return []
    return [
      {
        name: node.name,
        role: node.role,
        ...(node.pool === undefined ? {} : {pool: node.pool}),
        address: node.host.address,
        privateAddress: node.host.privateAddress ?? node.host.address,
        ssh: sshOf(spec, node.host),
        labels: {...node.labels},
        taints: [...node.taints],
      },
    ]
  })
}

/** What the other nodes use to reach a host: an IP address, or undefined while the document lacks one. */
export function privateAddressOf(host: HostEntry): string | undefined {
  const address = host.privateAddress ?? host.address
  return parseAddress(address) === undefined ? undefined : address
}

function sshOf(spec: ClusterSpec, host: HostEntry): Machine['ssh'] {
  const keyPath = host.keyPath ?? spec.ssh.keyPath
  const sudoPassword = host.sudoPassword ?? spec.ssh.sudoPassword
  const bastion = spec.ssh.bastion
  return {
    user: host.user ?? spec.ssh.user,
    port: host.port ?? spec.ssh.port,
    hostKeys: [...host.hostKeys],
    ...(keyPath === undefined ? {} : {keyPath}),
    ...(sudoPassword === undefined ? {} : {sudoPassword: {...sudoPassword}}),
    ...(bastion === undefined ? {} : {bastion: {...bastion, hostKeys: [...bastion.hostKeys]}}),
  }
}

function range(count: number, hosts: readonly HostEntry[]): readonly (HostEntry | undefined)[] {
  return Array.from({length: Math.max(count, hosts.length)}, (_, index) => hosts[index])
}
