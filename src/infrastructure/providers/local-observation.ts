import type {ContainerEngine, EngineContainer} from '../containers/container-engine.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import {CLUSTER_LABEL, networkName, type ObservedCluster} from './local-decision.ts'

/** Opens an engine of this machine; `connectEngine` of src/infrastructure/containers/connect.ts, outside tests. */
export type OpenEngine = (
  engine: ClusterSpec['provider']['local']['engine'],
  signal: AbortSignal,
) => Promise<ContainerEngine>

/** Everything the engine has with the cluster's label. */
export async function observe(engine: ContainerEngine, cluster: string): Promise<ObservedCluster> {
  const labels = {[CLUSTER_LABEL]: cluster}
  const [networks, containers, volumes] = await Promise.all([
    engine.listNetworks(labels),
    engine.listContainers(labels),
    engine.listVolumes(labels),
  ])
  return {networks, containers, volumes}
}

/** The address that a container was made with; empty text when it has none on the cluster's network. */
export function addressOf(cluster: string, container: EngineContainer): string {
  return container.addresses[networkName(cluster)] ?? ''
}
