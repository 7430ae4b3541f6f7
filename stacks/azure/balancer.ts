import {LbBackendAddressPool} from '@cdktf/provider-azurerm/lib/lb-backend-address-pool/index.js'
import {LbProbe} from '@cdktf/provider-azurerm/lib/lb-probe/index.js'
import {LbRule} from '@cdktf/provider-azurerm/lib/lb-rule/index.js'
import {Lb, type LbFrontendIpConfiguration} from '@cdktf/provider-azurerm/lib/lb/index.js'
import {API_PORT} from '../../src/spec/syntax.ts'
import {addressed, type Frame, named, placed, zonesBefore} from './frame.ts'
import {type AzureNetwork, publicAddress} from './network.ts'

export interface ApiBalancers {
  /** Address inside the network: what nodes use. */
  readonly internalAddress: string
  /** Address for administrators; absent: they come from inside. */
  readonly publicAddress?: string
  /** What control planes are put into, by a name. */
  readonly pools: Readonly<Record<string, LbBackendAddressPool>>
}

/**
 * Load balancers before the API. There is always one inside the network, so that the endpoint stays when control
 * planes are added and nodes never go through a public address; one balancer cannot have both kinds of address.
 */
export function balancersOf(frame: Frame, network: AzureNetwork): ApiBalancers {
  const zones = zonesBefore(frame)
  const internal = balancer(frame, 'api-internal', {
    name: 'internal',
    subnetId: network.nodeSubnetId,
    privateIpAddressAllocation: 'Dynamic',
    privateIpAddressVersion: 'IPv4',
    ...(zones === undefined ? {} : {zones}),
  })
  const internalAddress = internal.balancer.privateIpAddress
  if (frame.azure.api === 'internal') return {internalAddress, pools: {'api-internal': internal.pool}}
  const address = publicAddress(frame, 'api', zones)
  const open = balancer(frame, 'api', {name: 'public', publicIpAddressId: address.id})
  return {
    internalAddress,
    publicAddress: address.ipAddress,
    pools: {'api-internal': internal.pool, api: open.pool},
  }
}

function balancer(frame: Frame, what: string, frontend: LbFrontendIpConfiguration) {
  const {stack} = frame
  const lb = new Lb(stack, `balancer ${what}`, {
    name: named(frame, what),
    sku: 'Standard',
    frontendIpConfiguration: [frontend],
    ...placed(frame),
  })
  const pool = new LbBackendAddressPool(stack, `pool ${what}`, {
    name: 'control-planes',
    loadbalancerId: addressed(lb, what).id,
  })
  const probe = new LbProbe(stack, `probe ${what}`, {
    name: 'readyz',
    loadbalancerId: lb.id,
    protocol: 'Https',
    port: API_PORT,
    requestPath: '/readyz',
    intervalInSeconds: 5,
    probeThreshold: 2,
  })
  const rule = new LbRule(stack, `rule ${what}`, {
    name: 'api',
    loadbalancerId: lb.id,
    frontendIpConfigurationName: frontend.name,
    protocol: 'Tcp',
    frontendPort: API_PORT,
    backendPort: API_PORT,
    backendAddressPoolIds: [addressed(pool, what).id],
    probeId: addressed(probe, what).id,
    // A watch may say nothing for long; when it is cut all the same, its client shall know.
    idleTimeoutInMinutes: 30,
    tcpResetEnabled: true,
    // Machines go out by NAT or by their own address, never by the one of the API.
    disableOutboundSnat: true,
  })
  addressed(rule, what)
  return {balancer: lb, pool}
}
