import {networkOf, proxyAssignments} from '../../spec/proxy.ts'
import {isControlPlane, type PhaseContext} from './context.ts'

/** The proxy variables of the node's programs by `spec.proxy`, `NAME=value`; the same on every host of the cluster. */
export function proxyVariables({
  spec,
  endpoint,
  hosts,
}: Pick<PhaseContext, 'spec' | 'endpoint' | 'hosts'>): readonly string[] {
  const networks = hosts
    .filter(isControlPlane)
    .map(({machine: {privateAddress}, facts}) => networkOf(privateAddress, facts.addresses))
  return proxyAssignments(spec, endpoint.internal, [...new Set(networks)])
}
