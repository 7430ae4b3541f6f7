import {createHash} from 'node:crypto'
import type {EngineContainer, EngineNetwork, EngineVolume} from '../containers/container-engine.ts'
import {InfrastructureError} from '../errors.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {PlannedNode} from '../../spec/machines.ts'
import type {MachineChange} from './provider.ts'

export const CLUSTER_LABEL = 'clouder.dev/cluster'
export const NODE_LABEL = 'clouder.dev/node'
export const SUBNET_LABEL = 'clouder.dev/subnet'
export const SPEC_HASH_LABEL = 'clouder.dev/spec-hash'

/** Hash of what the spec says about how a machine is made; a machine with another is left as it is, and told about. */
export function specHash(spec: ClusterSpec, node: PlannedNode): string {
  const wanted = {image: spec.provider.local.image, role: node.role}
  return createHash('sha256').update(JSON.stringify(wanted)).digest('hex').slice(0, 12)
}

export const networkName = (cluster: string): string => `clouder-${cluster}`
export const containerName = (cluster: string, node: string): string => `clouder-${cluster}-${node}`

/** What must be on a disk of its own: an overlay file system cannot lie on another, and etcd wants a plain one. */
const volumeFolders = {
  containerd: '/var/lib/containerd',
  kubelet: '/var/lib/kubelet',
  etcd: '/var/lib/etcd',
} as const

/** Volume name to folder. */
export function volumesOf(cluster: string, node: string): Readonly<Record<string, string>> {
  const prefix = containerName(cluster, node)
  return Object.fromEntries(
    Object.entries(volumeFolders).map(([what, folder]) => [`${prefix}-${what}`, folder]),
  )
}

/** Everything the engine has with the cluster's label. */
export interface ObservedCluster {
  readonly networks: readonly EngineNetwork[]
  readonly containers: readonly EngineContainer[]
  readonly volumes: readonly EngineVolume[]
}

export interface NodeDecision {
  readonly node: PlannedNode
  /** `replace`: what is left of the container cannot become a machine again. */
  readonly action: 'keep' | 'start' | 'create' | 'replace'
  readonly reason: string
  readonly container: EngineContainer | undefined
  /** Volumes of a machine that is gone; removed before a new one is made. */
  readonly leftoverVolumes: readonly string[]
}

export interface LocalDecision {
  readonly createNetwork: boolean
  readonly network: EngineNetwork | undefined
  readonly nodes: readonly NodeDecision[]
  /** Containers of the cluster that the spec no longer names; never touched by provision. */
  readonly unknown: readonly EngineContainer[]
}

/** What has to be done, from what is wanted and what is there. */
export function decide(
  cluster: string,
  wanted: readonly PlannedNode[],
  observed: ObservedCluster,
): LocalDecision {
  const network = observed.networks.find(({name}) => name === networkName(cluster))
  const names = new Set(wanted.map(({name}) => name))
  return {
    createNetwork: network === undefined,
    network,
    nodes: wanted.map((node) => decideNode(cluster, node, observed)),
    unknown: observed.containers.filter(({labels}) => !names.has(labels[NODE_LABEL] ?? '')),
  }
}

/** The decision as the user sees it. */
export function changesOf(cluster: string, decision: LocalDecision): readonly MachineChange[] {
  const network: MachineChange[] = decision.createNetwork
    ? [{action: 'create', what: `network ${networkName(cluster)}`, reason: 'does not exist'}]
    : []
  const nodes = decision.nodes.flatMap(({node, action, reason}): MachineChange[] =>
    action === 'keep' ? [] : [{action, what: `machine ${node.name}`, reason}],
  )
  return [...network, ...nodes]
}

/** Throws when a name we need belongs to somebody else: what has no label of ours is never touched. */
export function refuseForeign(
  cluster: string,
  decision: LocalDecision,
  all: {networks: readonly EngineNetwork[]; volumes: readonly EngineVolume[]},
): void {
  const created = decision.nodes.filter(({action}) => action === 'create' || action === 'replace')
  const wantedVolumes = new Set(created.flatMap(({node}) => Object.keys(volumesOf(cluster, node.name))))
  const isForeign = (item: {labels: Readonly<Record<string, string>>}) =>
    item.labels[CLUSTER_LABEL] !== cluster
  const foreign = [
    ...all.networks
      .filter((item) => item.name === networkName(cluster) && isForeign(item))
      .map(({name}) => ['network', name]),
    ...all.volumes
      .filter((item) => wantedVolumes.has(item.name) && isForeign(item))
      .map(({name}) => ['volume', name]),
  ]
  const [first] = foreign
  if (first === undefined) return
  throw new InfrastructureError(
    'ENGINE_FAILED',
    `${foreign.map((item) => item.join(' ')).join(', ')} already exists and does not belong to cluster ${cluster}`,
    {suggestions: [`inspect it: docker ${first.join(' inspect ')}`, 'choose another cluster name']},
  )
}

function decideNode(cluster: string, node: PlannedNode, observed: ObservedCluster): NodeDecision {
  const container = observed.containers.find(({labels}) => labels[NODE_LABEL] === node.name)
  const ours = volumesOf(cluster, node.name)
  const volumes = observed.volumes.map(({name}) => name).filter((name) => name in ours)
  const because = (action: NodeDecision['action'], reason: string): NodeDecision => ({
    node,
    action,
    reason,
    container,
    leftoverVolumes: action === 'create' || action === 'replace' ? volumes : [],
  })
  if (container === undefined) {
    return because(
      'create',
      volumes.length === 0 ? 'does not exist' : 'its container no longer exists, only its volumes do',
    )
  }
  if (!container.everStarted && container.status !== 'running')
    return because('replace', 'was created but never started')
  switch (container.status) {
    case 'running':
    case 'restarting':
      return because('keep', '')
    case 'created':
    case 'exited':
      return because('start', `is stopped (exit code ${container.exitCode})`)
    case 'paused':
      return because('start', 'is paused')
    case 'dead':
    case 'removing':
    case 'unknown':
      return because('replace', `its container is ${container.status}`)
  }
}
