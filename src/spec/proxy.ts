import {addressesIn, formatCidr, parseCidr} from '../base/cidr.ts'
import {bypassesProxy} from '../base/no-proxy.ts'
import type {ClusterSpec} from './cluster-spec.ts'
import {parseEndpoint} from './syntax.ts'

/** A host or network that must be reached without a proxy, as it would stand in NO_PROXY. */
export type DirectTarget = string

/** What every node reaches without a proxy, whoever sets the proxy: the API server, pods, services. */
export function directTargets(
  {network}: Pick<ClusterSpec, 'network'>,
  apiEndpoint: string,
): readonly DirectTarget[] {
  const host = parseEndpoint(apiEndpoint)?.host
  return [
    ...(host === undefined ? [] : [host]),
    network.podCidr,
    network.serviceCidr,
    '.svc',
    `.${network.dnsDomain}`,
  ]
}

/**
 * The proxy variables of the programs on the nodes, `NAME=value`; empty without a proxy. `nodeNetworks` are those of
 * the control planes, which are part of every run: a worker that joins restarts nothing.
 */
export function proxyAssignments(
  spec: Pick<ClusterSpec, 'network' | 'proxy'>,
  apiEndpoint: string,
  nodeNetworks: readonly string[],
): readonly string[] {
  const {httpProxy, httpsProxy, noProxy} = spec.proxy
  if (httpProxy === undefined && httpsProxy === undefined) return []
  const direct = new Set([
    'localhost',
    '127.0.0.1',
    ...directTargets(spec, apiEndpoint),
    ...nodeNetworks.toSorted(),
    ...noProxy,
  ])
  return [
    ...(httpProxy === undefined ? [] : [`HTTP_PROXY=${httpProxy}`]),
    ...(httpsProxy === undefined ? [] : [`HTTPS_PROXY=${httpsProxy}`]),
    `NO_PROXY=${[...direct].join(',')}`,
  ]
}

/** The network that an address of a host is in, from the host's own addresses in CIDR notation; else the address. */
export function networkOf(address: string, ownCidrs: readonly string[]): string {
  const own = ownCidrs.find((cidr) => cidr.split('/')[0] === address)
  const network = own === undefined ? undefined : parseCidr(own)
  return network === undefined || addressesIn(network) === 1n ? address : formatCidr(network)
}

/** Targets that a value of NO_PROXY sends through the proxy. */
export const proxiedTargets = (noProxy: string, targets: readonly DirectTarget[]): readonly DirectTarget[] =>
  targets.filter((target) => !bypassesProxy(noProxy, target))
