import {NatGatewayPublicIpAssociation} from '@cdktf/provider-azurerm/lib/nat-gateway-public-ip-association/index.js'
import {NatGateway} from '@cdktf/provider-azurerm/lib/nat-gateway/index.js'
import {PublicIp} from '@cdktf/provider-azurerm/lib/public-ip/index.js'
import {SubnetNatGatewayAssociation} from '@cdktf/provider-azurerm/lib/subnet-nat-gateway-association/index.js'
import {Subnet} from '@cdktf/provider-azurerm/lib/subnet/index.js'
import {VirtualNetwork} from '@cdktf/provider-azurerm/lib/virtual-network/index.js'
import type {ITerraformDependable} from 'cdktf'
import {addressesIn, formatCidr, parseCidr} from '../../src/base/cidr.ts'
import {hasBastionHost} from '../../src/spec/cloud-machines.ts'
import {addressed, type Frame, named, partOfId, placed, zonesBefore} from './frame.ts'

/** Where machines stand, made or brought. */
export interface AzureNetwork {
  readonly nodeSubnetId: string
  readonly bastionSubnetId: string
  readonly vnetName: string
  readonly vnetResourceGroup: string
  readonly nodeSubnetName: string
  /** What must be there before a machine can reach the world. */
  readonly outbound: readonly ITerraformDependable[]
  /** Id of the resource group of a network that was brought. */
  readonly broughtScope?: string
}

/** A virtual network with its subnets and, in private mode, a way out; or the one that the spec brings. */
export function networkOf(frame: Frame): AzureNetwork {
  const {existing} = frame.azure.network
  if (existing !== undefined) {
    const {vnetId, subnetId, bastionSubnetId = subnetId} = existing
    return {
      nodeSubnetId: subnetId,
      bastionSubnetId,
      vnetName: partOfId(vnetId, 'virtualNetworks'),
      vnetResourceGroup: partOfId(vnetId, 'resourceGroups'),
      nodeSubnetName: partOfId(subnetId, 'subnets'),
      outbound: [],
      broughtScope: `/subscriptions/${partOfId(vnetId, 'subscriptions')}/resourceGroups/${partOfId(vnetId, 'resourceGroups')}`,
    }
  }
  return made(frame)
}

/** First half of the network for nodes, sixteen addresses of the second for the jump host. */
export function subnetRanges(network: string): {readonly nodes: string; readonly bastion: string} {
  const cidr = parseCidr(network)
  if (cidr?.family !== 4 || cidr.prefix > 27)
    throw new TypeError(`${network} is no IPv4 network of at most /27`)
  const nodes = {...cidr, prefix: cidr.prefix + 1}
  const bastion = {...cidr, base: cidr.base + addressesIn(nodes), prefix: 28}
  return {nodes: formatCidr(nodes), bastion: formatCidr(bastion)}
}

function made(frame: Frame): AzureNetwork {
  const {stack, azure, group} = frame
  const ranges = subnetRanges(azure.network.cidr)
  const vnet = new VirtualNetwork(stack, 'vnet', {
    name: named(frame, 'vnet'),
    addressSpace: [azure.network.cidr],
    ...placed(frame),
  })
  const subnet = (what: string, range: string, serviceEndpoints: string[] = []) =>
    addressed(
      new Subnet(stack, `subnet ${what}`, {
        name: what,
        resourceGroupName: group.name,
        virtualNetworkName: vnet.name,
        addressPrefixes: [range],
        serviceEndpoints,
        defaultOutboundAccessEnabled: false,
      }),
      what,
    )
  // By this way the storage accounts admit the nodes, and no other network.
  const nodes = subnet('nodes', ranges.nodes, ['Microsoft.Storage'])
  const bastion = hasBastionHost(frame.spec) ? subnet('bastion', ranges.bastion) : nodes
  return {
    nodeSubnetId: nodes.id,
    bastionSubnetId: bastion.id,
    vnetName: vnet.name,
    vnetResourceGroup: group.name,
    nodeSubnetName: nodes.name,
    outbound: azure.network.mode === 'private' ? wayOut(frame, nodes) : [],
  }
}

function wayOut(frame: Frame, nodes: Subnet): readonly ITerraformDependable[] {
  const {stack} = frame
  const address = publicAddress(frame, 'nat', zonesBefore(frame))
  const zones = zonesBefore(frame)
  const gateway = new NatGateway(stack, 'nat gateway', {
    name: named(frame, 'nat'),
    skuName: 'Standard',
    // A gateway stands in one zone or in none that is said.
    ...(zones?.length === 1 ? {zones} : {}),
    idleTimeoutInMinutes: 10,
    ...placed(frame),
  })
  addressed(gateway, 'nat')
  const nat = new NatGatewayPublicIpAssociation(stack, 'nat address', {
    natGatewayId: gateway.id,
    publicIpAddressId: address.id,
  })
  const subnet = new SubnetNatGatewayAssociation(stack, 'nat subnet', {
    subnetId: nodes.id,
    natGatewayId: gateway.id,
  })
  return [addressed(nat, 'nat'), addressed(subnet, 'nodes')]
}

/** A public address that stays. */
export function publicAddress(frame: Frame, what: string, zones?: string[]): PublicIp {
  const address = new PublicIp(frame.stack, `address ${what}`, {
    name: named(frame, what),
    allocationMethod: 'Static',
    sku: 'Standard',
    ...(zones === undefined ? {} : {zones}),
    ...placed(frame),
  })
  return addressed(address, what)
}
