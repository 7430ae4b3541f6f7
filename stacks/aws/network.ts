import {DataAwsVpc} from '@cdktf/provider-aws/lib/data-aws-vpc/index.js'
import {DefaultSecurityGroup} from '@cdktf/provider-aws/lib/default-security-group/index.js'
import {Eip} from '@cdktf/provider-aws/lib/eip/index.js'
import {InternetGateway} from '@cdktf/provider-aws/lib/internet-gateway/index.js'
import {NatGateway} from '@cdktf/provider-aws/lib/nat-gateway/index.js'
import {RouteTableAssociation} from '@cdktf/provider-aws/lib/route-table-association/index.js'
import {RouteTable} from '@cdktf/provider-aws/lib/route-table/index.js'
import {Route} from '@cdktf/provider-aws/lib/route/index.js'
import {Subnet} from '@cdktf/provider-aws/lib/subnet/index.js'
import {VpcEndpoint} from '@cdktf/provider-aws/lib/vpc-endpoint/index.js'
import {Vpc} from '@cdktf/provider-aws/lib/vpc/index.js'
import type {ITerraformDependable} from 'cdktf'
import {addressesIn, formatCidr, parseCidr} from '../../src/base/cidr.ts'
import {add, type Frame, tagsOf} from './frame.ts'

export const WORLD = '0.0.0.0/0'

/** One availability zone, in the order of the spec. */
export interface ZoneSubnets {
  /** Where nodes stand. */
  readonly nodes: string
  /** What nodes need there before they reach the world. */
  readonly wayOut: readonly ITerraformDependable[]
}

/** Where machines stand, made or brought. */
export interface AwsNetwork {
  readonly vpcId: string
  readonly cidr: string
  readonly zones: readonly ZoneSubnets[]
  /** Subnets of what has a public address: balancer, jump host; empty: there is no such thing. */
  readonly publicSubnetIds: readonly string[]
  /** What must be there before anything with a public address answers. */
  readonly gateway: readonly ITerraformDependable[]
}

/** A VPC with subnets in each zone and, in private mode, a way out of each; or the one that the spec brings. */
export function networkOf(frame: Frame): AwsNetwork {
  const {existing, mode} = frame.aws.network
  if (existing === undefined) return madeNetwork(frame)
  const {vpcId, privateSubnetIds, publicSubnetIds} = existing
  const vpc = add(frame, DataAwsVpc, 'cluster', {id: vpcId})
  const nodes = mode === 'private' ? privateSubnetIds : publicSubnetIds
  return {
    vpcId: vpc.id,
    cidr: vpc.cidrBlock,
    zones: nodes.map((id) => ({nodes: id, wayOut: []})),
    publicSubnetIds,
    gateway: [],
  }
}

/**
 * A quarter of the network for the nodes of each of up to three zones, so that a second and third zone move nothing;
 * sixteenths of the first quarter for what stands before private nodes.
 */
export function subnetRanges(network: string): {readonly nodes: string[]; readonly edge: string[]} {
  const cidr = parseCidr(network)
  // AWS makes no subnet smaller than /28.
  if (cidr?.family !== 4 || cidr.prefix > 24)
    throw new TypeError(`${network} is no IPv4 network of at most /24`)
  const part = (bits: number, index: number): string => {
    const piece = {...cidr, prefix: cidr.prefix + bits}
    return formatCidr({...piece, base: cidr.base + BigInt(index) * addressesIn(piece)})
  }
  return {nodes: [1, 2, 3].map((index) => part(2, index)), edge: [0, 1, 2].map((index) => part(4, index))}
}

interface Zone {
  readonly letter: string
  readonly nodes: string
  readonly edge: string
}

function madeNetwork(frame: Frame): AwsNetwork {
  const {aws, region} = frame
  const {cidr, mode} = aws.network
  const vpc = add(frame, Vpc, 'cluster', {
    cidrBlock: cidr,
    enableDnsSupport: true,
    enableDnsHostnames: true,
    tags: tagsOf(frame, 'vpc'),
  })
  // The group that AWS makes with every VPC admits its members to each other; taken over, it admits nobody.
  add(frame, DefaultSecurityGroup, 'closed', {vpcId: vpc.id, tags: tagsOf(frame, 'default')})
  const ranges = subnetRanges(cidr)
  const zones = aws.zones.map((letter, index): Zone => ({
    letter,
    nodes: ranges.nodes[index] ?? missing(letter),
    edge: ranges.edge[index] ?? missing(letter),
  }))
  const door = publicRoutes(frame, vpc)
  const publicSubnets = zones.map((zone) =>
    publicSubnet(frame, vpc, zone.letter, mode === 'public' ? zone.nodes : zone.edge, door.table),
  )
  const nodes = zones.map((zone, index) => {
    const outside = publicSubnets[index] ?? missing(zone.letter)
    return mode === 'public'
      ? {subnet: outside, table: door.table, wayOut: [door.route]}
      : privateSubnet(frame, vpc, zone, outside, door.route)
  })
  // Checkpoints are large: through this they cost no address translation.
  add(frame, VpcEndpoint, 'storage', {
    vpcId: vpc.id,
    serviceName: `com.amazonaws.${region}.s3`,
    vpcEndpointType: 'Gateway',
    routeTableIds: mode === 'public' ? [door.table.id] : nodes.map(({table}) => table.id),
    tags: tagsOf(frame, 'storage'),
  })
  return {
    vpcId: vpc.id,
    cidr,
    zones: nodes.map(({subnet, wayOut}) => ({nodes: subnet.id, wayOut})),
    publicSubnetIds: publicSubnets.map(({id}) => id),
    gateway: [door.route],
  }
}

function publicRoutes(frame: Frame, vpc: Vpc): {readonly table: RouteTable; readonly route: Route} {
  const gateway = add(frame, InternetGateway, 'cluster', {vpcId: vpc.id, tags: tagsOf(frame, 'gateway')})
  const table = add(frame, RouteTable, 'public', {vpcId: vpc.id, tags: tagsOf(frame, 'public')})
  const route = add(frame, Route, 'public', {
    routeTableId: table.id,
    destinationCidrBlock: WORLD,
    gatewayId: gateway.id,
  })
  return {table, route}
}

function publicSubnet(frame: Frame, vpc: Vpc, zone: string, cidr: string, table: RouteTable): Subnet {
  const name = `public-${zone}`
  const subnet = add(frame, Subnet, name, {
    vpcId: vpc.id,
    availabilityZone: `${frame.region}${zone}`,
    cidrBlock: cidr,
    // Machines say themselves whether they want a public address.
    mapPublicIpOnLaunch: false,
    tags: tagsOf(frame, name, {
      'kubernetes.io/role/elb': '1',
      // There are no private ones for balancers without a public address then.
      ...(frame.aws.network.mode === 'public' ? {'kubernetes.io/role/internal-elb': '1'} : {}),
    }),
  })
  add(frame, RouteTableAssociation, name, {subnetId: subnet.id, routeTableId: table.id})
  return subnet
}

/** With a NAT gateway of its own, so that the loss of one zone takes no other off the network. */
function privateSubnet(frame: Frame, vpc: Vpc, zone: Zone, outside: Subnet, door: Route) {
  const name = `private-${zone.letter}`
  const subnet = add(frame, Subnet, name, {
    vpcId: vpc.id,
    availabilityZone: `${frame.region}${zone.letter}`,
    cidrBlock: zone.nodes,
    mapPublicIpOnLaunch: false,
    tags: tagsOf(frame, name, {'kubernetes.io/role/internal-elb': '1'}),
  })
  const table = add(frame, RouteTable, name, {vpcId: vpc.id, tags: tagsOf(frame, name)})
  const association = add(frame, RouteTableAssociation, name, {subnetId: subnet.id, routeTableId: table.id})
  const address = add(frame, Eip, `nat-${zone.letter}`, {
    domain: 'vpc',
    tags: tagsOf(frame, `nat-${zone.letter}`),
  })
  const nat = add(frame, NatGateway, `nat-${zone.letter}`, {
    allocationId: address.id,
    subnetId: outside.id,
    tags: tagsOf(frame, `nat-${zone.letter}`),
    dependsOn: [door],
  })
  const route = add(frame, Route, name, {
    routeTableId: table.id,
    destinationCidrBlock: WORLD,
    natGatewayId: nat.id,
  })
  return {subnet, table, wayOut: [route, association]}
}

function missing(zone: string): never {
  throw new TypeError(`there is no room for a subnet of zone ${zone}`)
}
