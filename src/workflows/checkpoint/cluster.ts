import {SYSTEM_NAMESPACE} from '../../api/names.ts'
import {StateError} from '../../base/errors.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {KubernetesError} from '../../kubernetes/errors.ts'
import type {KubeClient, KubeReader} from '../../kubernetes/types.ts'
import {specFromDocument} from '../../spec/load.ts'
import {readIfThere} from '../../base/files.ts'
import type {ClusterRecord} from '../../store/types.ts'
import {allMachines, recordOf} from '../session/clusters.ts'
import {READ_PATH} from '../session/api-access.ts'
import {openToLook, type Session} from '../session/session.ts'
import type {SessionTools, Tools} from '../session/types.ts'

/** What answers at all answers within this; a firewall that is silent is waited for no longer. */
const DIRECT_MS = 1_500

export interface CheckpointCluster {
  readonly cluster: string
  readonly kube: KubeClient
  /** `host:port` of the API server for those outside. */
  readonly endpoint: string
}

/** One whose machines are connected. */
export interface CheckpointNodes extends CheckpointCluster {
  readonly session: Session
}

/**
 * Opens the API server of a cluster that runs the programs for checkpoints: where its kubeconfig says, or by SSH through
 * a control plane. `withAddon: false`: one that runs other things will do. Throws CheckpointError ADDON_MISSING,
 * KubernetesError API_UNREACHABLE, HostsFailedError.
 */
export async function withCheckpoints<T>(
  cluster: string,
  tools: SessionTools,
  use: (opened: CheckpointCluster) => Promise<T>,
  {withAddon = true}: {readonly withAddon?: boolean} = {},
): Promise<T> {
  const record = await recordOf(cluster, tools)
  const opened = async (kube: KubeClient): Promise<T> => {
    if (withAddon) await needAddon(cluster, kube)
    return use({cluster, kube, endpoint: endpointOf(record).external})
  }
  const direct = await openDirect(cluster, tools)
  if (direct !== undefined) {
    try {
      return await opened(direct)
    } finally {
      direct.close()
    }
  }
  await using session = await sessionOf(record, tools, {withNodes: false})
  return await opened(await session.clusterTools.kube())
}

/** The same by SSH, with a connection to every machine that answers. */
export async function withCheckpointNodes<T>(
  cluster: string,
  tools: SessionTools,
  use: (opened: CheckpointNodes) => Promise<T>,
): Promise<T> {
  const record = await recordOf(cluster, tools)
  await using session = await sessionOf(record, tools, {withNodes: true})
  const kube = await session.clusterTools.kube()
  await needAddon(cluster, kube)
  return await use({cluster, kube, endpoint: endpointOf(record).external, session})
}

function endpointOf({name, endpoint}: ClusterRecord): NonNullable<ClusterRecord['endpoint']> {
  if (endpoint !== undefined) return endpoint
  throw new KubernetesError('API_UNREACHABLE', `cluster ${name} has no machines yet`)
}

/** The way that kubectl takes; undefined: there is no kubeconfig, or who answers there is not this cluster, or nobody. */
async function openDirect(
  cluster: string,
  {store, openKube, signal}: Pick<Tools, 'store' | 'openKube' | 'signal'>,
): Promise<KubeClient | undefined> {
  let kube: KubeClient | undefined
  try {
    const kubeconfig = await readIfThere(store.paths(cluster).kubeconfig)
    if (kubeconfig === undefined) return undefined
    kube = await openKube({kubeconfig, signal})
    const limit = AbortSignal.timeout(DIRECT_MS)
    // Unlike `/readyz` it is answered only to who is known.
    const {status} = await kube.fetch(READ_PATH, AbortSignal.any([signal, limit])).catch((error: unknown) => {
      if (limit.aborted && !signal.aborted) return {status: 0}
      throw error
    })
    if (status === 200) return kube
  } catch (error) {
    if (signal.aborted || !(error instanceof KubernetesError || error instanceof StateError)) throw error
  }
  kube?.close()
  return undefined
}

function sessionOf(
  record: ClusterRecord,
  tools: SessionTools,
  {withNodes}: {readonly withNodes: boolean},
): Promise<Session> {
  const machines = allMachines(record)
  return openToLook(
    {
      spec: specFromDocument(record.document),
      machines: withNodes ? machines : machines.filter(({role}) => role === 'control-plane'),
      endpoint: endpointOf(record),
    },
    tools,
  )
}

async function needAddon(cluster: string, kube: KubeReader): Promise<void> {
  const agent = {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    namespace: SYSTEM_NAMESPACE,
    name: 'clouder-node-agent',
  }
  if ((await kube.get(agent)) !== undefined) return
  throw new CheckpointError(
    'ADDON_MISSING',
    `clouder's node agent and controller are not installed in cluster ${cluster}`,
    {
      suggestions: [
        `clouder kubeadm init ${cluster}`,
        'spec.checkpoint.enabled of the cluster must not be false',
      ],
    },
  )
}
