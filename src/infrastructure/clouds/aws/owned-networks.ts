import {
  DescribeAddressesCommand,
  DescribeSecurityGroupsCommand,
  paginateDescribeInternetGateways,
  paginateDescribeNatGateways,
  paginateDescribeNetworkInterfaces,
  paginateDescribeRouteTables,
  paginateDescribeSubnets,
  paginateDescribeVpcEndpoints,
  paginateDescribeVpcs,
} from '@aws-sdk/client-ec2'
import type {OwnedKind, OwnedResource} from '../cloud.ts'
import {type AwsApi, call, gather} from './api.ts'
import {byIds, type TaggedIds, type Tags, tagsOf} from './tags.ts'

interface Found {
  readonly id: string | undefined
  readonly tags: Tags
  readonly name?: string | undefined
  readonly type?: string
}

/** A kind of EC2's network things: what its ids begin with, and how those of some ids are read. */
interface Reader {
  readonly kind: OwnedKind
  readonly prefix: string
  readonly idFilter: string
  readonly read: (
    api: AwsApi,
    filter: ReturnType<typeof byIds>,
    signal: AbortSignal,
  ) => Promise<readonly Found[]>
}

/** Networks and what is in them. */
export async function ownedNetworks(
  api: AwsApi,
  ids: TaggedIds,
  signal: AbortSignal,
): Promise<readonly OwnedResource[]> {
  const found: OwnedResource[] = []
  for (const {kind, prefix, idFilter, read} of READERS) {
    const owners = ids.get(prefix)
    if (owners === undefined) continue
    for (const {id, tags, name, type} of await read(api, byIds(idFilter, owners), signal)) {
      if (id === undefined || !owners.has(id)) continue
      found.push({
        id,
        kind,
        region: api.region,
        name: tags['Name'] ?? name ?? id,
        madeBy: owners.get(id) ?? 'clouder',
        holdsData: false,
        ...(type === undefined ? {} : {type}),
      })
    }
  }
  return found
}

const READERS: readonly Reader[] = [
  {
    kind: 'nat-gateway',
    prefix: 'nat',
    idFilter: 'nat-gateway-id',
    read: async ({ec2}, filter, signal) => {
      const all = await gather(
        'ec2:DescribeNatGateways',
        signal,
        paginateDescribeNatGateways({client: ec2}, {Filter: filter.Filters}, {abortSignal: signal}),
        (page) => page.NatGateways,
      )
      return all
        .filter(({State: state}) => state !== 'deleted' && state !== 'failed')
        .map((nat) => ({id: nat.NatGatewayId, tags: tagsOf(nat.Tags)}))
    },
  },
  {
    kind: 'endpoint',
    prefix: 'vpce',
    idFilter: 'vpc-endpoint-id',
    read: async ({ec2}, _filter, signal) => {
      // There are few of them, and emulators know no filter by id.
      const all = await gather(
        'ec2:DescribeVpcEndpoints',
        signal,
        paginateDescribeVpcEndpoints({client: ec2}, {}, {abortSignal: signal}),
        (page) => page.VpcEndpoints,
      )
      return all
        .filter(({State: state}) => String(state).toLowerCase() !== 'deleted')
        .map((endpoint) => ({
          id: endpoint.VpcEndpointId,
          tags: tagsOf(endpoint.Tags),
          ...(endpoint.VpcEndpointType === undefined ? {} : {type: endpoint.VpcEndpointType}),
        }))
    },
  },
  {
    kind: 'address',
    prefix: 'eipalloc',
    idFilter: 'allocation-id',
    read: async ({ec2}, filter, signal) => {
      const answer = await call('ec2:DescribeAddresses', signal, (options) =>
        ec2.send(new DescribeAddressesCommand(filter), options),
      )
      return (answer.Addresses ?? []).map((address) => ({
        id: address.AllocationId,
        tags: tagsOf(address.Tags),
        name: address.PublicIp,
      }))
    },
  },
  {
    kind: 'network-interface',
    prefix: 'eni',
    idFilter: 'network-interface-id',
    read: async ({ec2}, filter, signal) => {
      const all = await gather(
        'ec2:DescribeNetworkInterfaces',
        signal,
        paginateDescribeNetworkInterfaces({client: ec2}, filter, {abortSignal: signal}),
        (page) => page.NetworkInterfaces,
      )
      // One that goes with its machine, or that belongs to a load balancer, is named by that.
      return all
        .filter(
          ({Attachment: attachment, RequesterManaged: managed}) =>
            managed !== true && attachment?.DeleteOnTermination !== true,
        )
        .map((card) => ({id: card.NetworkInterfaceId, tags: tagsOf(card.TagSet)}))
    },
  },
  {
    kind: 'security-group',
    prefix: 'sg',
    idFilter: 'group-id',
    read: async ({ec2}, filter, signal) => {
      const answer = await call('ec2:DescribeSecurityGroups', signal, (options) =>
        ec2.send(new DescribeSecurityGroupsCommand(filter), options),
      )
      // The default one goes with its network, and cannot go before.
      return (answer.SecurityGroups ?? [])
        .filter(({GroupName: name}) => name !== 'default')
        .map((group) => ({id: group.GroupId, tags: tagsOf(group.Tags), name: group.GroupName}))
    },
  },
  {
    kind: 'subnet',
    prefix: 'subnet',
    idFilter: 'subnet-id',
    read: async ({ec2}, filter, signal) => {
      const all = await gather(
        'ec2:DescribeSubnets',
        signal,
        paginateDescribeSubnets({client: ec2}, filter, {abortSignal: signal}),
        (page) => page.Subnets,
      )
      return all.map((subnet) => ({id: subnet.SubnetId, tags: tagsOf(subnet.Tags)}))
    },
  },
  {
    kind: 'route-table',
    prefix: 'rtb',
    idFilter: 'route-table-id',
    read: async ({ec2}, filter, signal) => {
      const all = await gather(
        'ec2:DescribeRouteTables',
        signal,
        paginateDescribeRouteTables({client: ec2}, filter, {abortSignal: signal}),
        (page) => page.RouteTables,
      )
      // The main one goes with its network, and cannot go before.
      return all
        .filter(({Associations: uses}) => (uses ?? []).every(({Main: isMain}) => isMain !== true))
        .map((table) => ({id: table.RouteTableId, tags: tagsOf(table.Tags)}))
    },
  },
  {
    kind: 'internet-gateway',
    prefix: 'igw',
    idFilter: 'internet-gateway-id',
    read: async ({ec2}, filter, signal) => {
      const all = await gather(
        'ec2:DescribeInternetGateways',
        signal,
        paginateDescribeInternetGateways({client: ec2}, filter, {abortSignal: signal}),
        (page) => page.InternetGateways,
      )
      return all.map((gateway) => ({id: gateway.InternetGatewayId, tags: tagsOf(gateway.Tags)}))
    },
  },
  {
    kind: 'network',
    prefix: 'vpc',
    idFilter: 'vpc-id',
    read: async ({ec2}, filter, signal) => {
      const all = await gather(
        'ec2:DescribeVpcs',
        signal,
        paginateDescribeVpcs({client: ec2}, filter, {abortSignal: signal}),
        (page) => page.Vpcs,
      )
      return all.map((vpc) => ({id: vpc.VpcId, tags: tagsOf(vpc.Tags)}))
    },
  },
]
