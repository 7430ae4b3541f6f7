import {StateError} from '../../base/errors.ts'
import type {KubeReader} from '../../kubernetes/types.ts'
import {nodeProblem} from '../../bootstrap/phases/node-conditions.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import {specFromDocument} from '../../spec/load.ts'
import type {Machine} from '../../spec/machine.ts'
import type {ClusterRecord} from '../../store/types.ts'
import {z} from 'zod'
import {openToLook} from './session.ts'
import type {ClusterDescription, ClusterRow, NodeRow, SessionTools, Tools} from './types.ts'

/** The cluster that is meant: the given name, or the default. Throws StateError NO_DEFAULT_CLUSTER. */
export async function resolveClusterName(
  name: string | undefined,
  tools: Pick<Tools, 'store'>,
): Promise<string> {
  const found = name ?? (await tools.store.defaultCluster())
  if (found !== undefined) return found
  throw new StateError('NO_DEFAULT_CLUSTER', 'no cluster given and no default set', {
    suggestions: ['name the cluster', 'clouder kubeadm ls', 'clouder kubeadm set-default NAME'],
  })
}

/** The record of a cluster. Throws StateError CLUSTER_UNKNOWN, RECORD_INVALID, RECORD_NEWER. */
export async function recordOf(name: string, tools: Pick<Tools, 'store'>): Promise<ClusterRecord> {
  const record = await tools.store.load(name)
  if (record !== undefined) return record
  const known = await tools.store.list()
  throw new StateError('CLUSTER_UNKNOWN', `no cluster ${JSON.stringify(name)} is recorded here`, {
    suggestions: [
      known.length === 0 ? 'no clusters are recorded yet' : `known: ${known.join(', ')}`,
      `clouder kubeadm init ${name}`,
    ],
  })
}

/** The spec a cluster was last applied with. */
export async function specOf(name: string, tools: Pick<Tools, 'store'>): Promise<ClusterSpec> {
  return specFromDocument((await recordOf(name, tools)).document)
}

export async function listClusters(tools: Pick<Tools, 'store'>): Promise<readonly ClusterRow[]> {
  const [names, isDefault] = await Promise.all([tools.store.list(), tools.store.defaultCluster()])
  return Promise.all(names.map((name) => clusterRow(name, name === isDefault, tools)))
}

async function clusterRow(
  name: string,
  isDefault: boolean,
  tools: Pick<Tools, 'store'>,
): Promise<ClusterRow> {
  const nothing = {kubernetesVersion: undefined, controlPlanes: 0, workers: 0, endpoint: undefined}
  try {
    const record = await tools.store.load(name)
    if (record === undefined) return {name, provider: '', ...nothing, isDefault, problem: 'no record yet'}
    const machines = allMachines(record)
    return {
      name,
      provider: record.provider,
      kubernetesVersion: record.kubernetesVersion,
      controlPlanes: machines.filter(({role}) => role === 'control-plane').length,
      workers: machines.filter(({role}) => role === 'worker').length,
      endpoint: record.endpoint?.external,
      isDefault,
    }
  } catch (error) {
    if (!(error instanceof StateError)) throw error
    return {name, provider: '', ...nothing, isDefault, problem: error.message}
  }
}

/** The machines of the spec and those that joined later. */
export const allMachines = (record: ClusterRecord): readonly Machine[] => [
  ...record.machines,
  ...record.joined,
]

/** The live truth next to the record. Works with machines that do not answer. */
export async function describeCluster(name: string, tools: SessionTools): Promise<ClusterDescription> {
  const record = await recordOf(name, tools)
  const machines = allMachines(record)
  const live = await lookAt(record, machines, tools)
  return {
    cluster: name,
    provider: record.provider,
    record: {
      kubernetesVersion: record.kubernetesVersion,
      endpoint: record.endpoint?.external,
      machines,
      updatedAt: record.updatedAt,
    },
    live,
    differences: differences(record, machines, live),
    kubeconfig: tools.store.paths(name).kubeconfig,
  }
}

async function lookAt(
  record: ClusterRecord,
  machines: readonly Machine[],
  tools: SessionTools,
): Promise<ClusterDescription['live']> {
  const unknown = machines.map((machine) => rowOf(machine, undefined, 'unknown'))
  if (record.endpoint === undefined)
    return {api: 'no machines were created yet', kubernetesVersion: undefined, nodes: unknown}
  await using session = await openToLook(
    {
      spec: specFromDocument(record.document),
      machines: machines.filter(({role}) => role === 'control-plane'),
      endpoint: record.endpoint,
    },
    tools,
  )
  const kube = await session.context.kube()
  if (kube === undefined) return {api: 'does not respond', kubernetesVersion: undefined, nodes: unknown}
  const version = versionSchema.parse(JSON.parse((await kube.fetch('/version')).body))
  return {
    api: 'ok',
    kubernetesVersion: version.gitVersion.replace(/^v/, ''),
    nodes: await nodeRows(machines, kube),
  }
}

const versionSchema = z.looseObject({gitVersion: z.string()})
const nodeInfoSchema = z.looseObject({nodeInfo: z.looseObject({kubeletVersion: z.string()}).optional()})

/** A row for each machine and for each node that no machine is known for. */
export async function nodeRows(machines: readonly Machine[], kube: KubeReader): Promise<readonly NodeRow[]> {
  const nodes = await kube.list({apiVersion: 'v1', kind: 'Node'})
  const byName = new Map(nodes.map((node) => [node.metadata.name, node]))
  const known = new Set(machines.map(({name}) => name))
  const rows = machines.map((machine) => {
    const node = byName.get(machine.name)
    if (node === undefined) return rowOf(machine, undefined, 'absent')
    const {nodeInfo} = nodeInfoSchema.parse(node['status'] ?? {})
    return rowOf(machine, nodeInfo?.kubeletVersion, nodeProblem(node) === undefined ? 'Ready' : 'NotReady')
  })
  const strangers = nodes
    .filter((node) => !known.has(node.metadata.name))
    .map((node): NodeRow => {
      const isPlane = node.metadata.labels?.['node-role.kubernetes.io/control-plane'] !== undefined
      const {nodeInfo} = nodeInfoSchema.parse(node['status'] ?? {})
      return {
        name: node.metadata.name,
        role: isPlane ? 'control-plane' : 'worker',
        address: 'not in the record',
        status: nodeProblem(node) === undefined ? 'Ready' : 'NotReady',
        version: nodeInfo?.kubeletVersion,
      }
    })
  return [...rows, ...strangers]
}

const rowOf = (machine: Machine, version: string | undefined, status: string): NodeRow => ({
  name: machine.name,
  role: machine.role,
  address: machine.privateAddress,
  status,
  version,
})

function differences(
  record: ClusterRecord,
  machines: readonly Machine[],
  live: ClusterDescription['live'],
): readonly string[] {
  if (live.api !== 'ok') return [`the API server ${live.api}`]
  const known = new Set(machines.map(({name}) => name))
  const {kubernetesVersion: wanted} = record
  return [
    ...(wanted === undefined || wanted === live.kubernetesVersion
      ? []
      : [`Kubernetes is ${live.kubernetesVersion ?? 'unknown'}, the record says ${wanted}`]),
    ...live.nodes
      .filter(({status}) => status === 'absent')
      .map(({name}) => `${name} is not a node of the cluster`),
    ...live.nodes.filter(({status}) => status === 'NotReady').map(({name}) => `node ${name} is not Ready`),
    ...live.nodes.filter(({name}) => !known.has(name)).map(({name}) => `node ${name} is not in the record`),
  ]
}
