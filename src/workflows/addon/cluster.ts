import {StateError} from '../../base/errors.ts'
import type {KubeClient} from '../../kubernetes/types.ts'
import type {PhaseContext} from '../../bootstrap/phases/context.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import {specFromDocument} from '../../spec/load.ts'
import type {Endpoint} from '../../spec/machine.ts'
import type {ClusterRecord} from '../../store/types.ts'
import {withCheckpoints} from '../checkpoint/cluster.ts'
import {allMachines, recordOf} from '../session/clusters.ts'
import {openSession, type Session} from '../session/session.ts'
import type {SessionTools} from '../session/types.ts'

/** A cluster whose addons are looked at: no machine is connected, no bundle is loaded. */
export interface AddonCluster {
  readonly cluster: string
  readonly kube: KubeClient
  readonly spec: ClusterSpec
  readonly context: Pick<PhaseContext, 'spec' | 'endpoint' | 'cloud'>
}

/** Opens the API server as kubectl does, or by SSH. Throws StateError, KubernetesError API_UNREACHABLE. */
export async function withAddons<T>(
  cluster: string,
  tools: SessionTools,
  use: (opened: AddonCluster) => Promise<T>,
): Promise<T> {
  const record = await recordOf(cluster, tools)
  const spec = specFromDocument(record.document)
  const context = {spec, endpoint: endpointOf(record), cloud: record.cloud ?? {}}
  return withCheckpoints(cluster, tools, ({kube}) => use({cluster, kube, spec, context}), {withAddon: false})
}

/**
 * A session with the bundle, from which the objects of addons are made. `machines`: those to connect to; images are
 * loaded on all, the API server is reached through control planes.
 */
export function openAddonSession(
  record: ClusterRecord,
  spec: ClusterSpec,
  options: {readonly machines: 'all' | 'control-planes'; readonly exclusive: boolean},
  tools: SessionTools,
): Promise<Session> {
  const machines = allMachines(record)
  return openSession(
    {
      spec,
      machines: options.machines === 'all' ? machines : machines.filter(({role}) => role === 'control-plane'),
      endpoint: endpointOf(record),
      cloud: record.cloud ?? {},
      ignorePreflight: [],
      concurrency: 20,
      tolerateUnreachable: options.machines === 'control-planes',
      withBundle: true,
      exclusive: options.exclusive,
    },
    tools,
  )
}

export function endpointOf({name, endpoint}: ClusterRecord): Endpoint {
  if (endpoint !== undefined) return endpoint
  throw new StateError('CLUSTER_UNKNOWN', `cluster ${name} has no machines yet`, {
    suggestions: [`clouder kubeadm init ${name}`],
  })
}
