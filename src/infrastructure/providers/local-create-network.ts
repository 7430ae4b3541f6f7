import {InfrastructureError} from '../errors.ts'
import type {ContainerEngine} from '../containers/container-engine.ts'
import {CLUSTER_LABEL, networkName} from './local-decision.ts'
import {dynamicRange} from './local-network.ts'

const MOST_SUBNETS_TRIED = 4

/**
 * Creates the network of a cluster and gives its subnet. `choose` picks one beside those that are taken; it is called
 * again when somebody else took the same one meanwhile. Throws InfrastructureError.
 */
export async function createNetwork(
  engine: ContainerEngine,
  cluster: string,
  choose: (taken: readonly string[]) => string,
): Promise<string> {
  const refused: string[] = []
  let networks = await engine.listNetworks({})
  let subnet = choose(networks.flatMap(({subnets}) => subnets))
  for (;;) {
    try {
      await engine.createNetwork({
        name: networkName(cluster),
        labels: {[CLUSTER_LABEL]: cluster},
        subnet,
        dynamicRange: dynamicRange(subnet),
      })
      return subnet
    } catch (error) {
      if (!(error instanceof InfrastructureError)) throw error
      // Somebody else's, perhaps: an engine holds the subnet of a network that it does not list yet.
      refused.push(subnet)
      networks = await engine.listNetworks({})
      const other = choose([...refused, ...networks.flatMap(({subnets}) => subnets)])
      const isMade = networks.some(({name}) => name === networkName(cluster))
      if (isMade || refused.includes(other) || refused.length === MOST_SUBNETS_TRIED) throw error
      subnet = other
    }
  }
}
