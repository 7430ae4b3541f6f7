import {
  DeleteInternetGatewayCommand,
  DeleteKeyPairCommand,
  DeleteNatGatewayCommand,
  DeleteNetworkInterfaceCommand,
  DeleteRouteTableCommand,
  DeleteSecurityGroupCommand,
  DeleteSnapshotCommand,
  DeleteSubnetCommand,
  DeleteVolumeCommand,
  DeleteVpcCommand,
  DeleteVpcEndpointsCommand,
  DescribeInternetGatewaysCommand,
  DescribeRouteTablesCommand,
  DescribeSecurityGroupsCommand,
  DetachInternetGatewayCommand,
  DisassociateRouteTableCommand,
  ReleaseAddressCommand,
  RevokeSecurityGroupEgressCommand,
  RevokeSecurityGroupIngressCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import {InfrastructureError} from '../../errors.ts'
import type {OwnedKind, OwnedResource} from '../cloud.ts'
import {type AwsApi, call} from './api.ts'
import {awsCode} from './errors.ts'
import {removeBalancer, removeTargetGroup} from './removal-balancers.ts'
import {removeInstanceProfile, removePolicy, removeRole} from './removal-identities.ts'
import {removeBucket, removeFileSystem} from './removal-storage.ts'
import {isOfCluster, tagsOf} from './tags.ts'

/** Asks for the removal of one thing and of what only it holds. */
export type Removal = (api: AwsApi, id: string, signal: AbortSignal) => Promise<void>

/** Codes that say: something else has to go first, and is going. */
const BUSY =
  /^(DependencyViolation|InvalidGroup\.InUse|VolumeInUse|InvalidSnapshot\.InUse|ResourceInUse(Exception)?|InvalidNetworkInterface\.InUse|InvalidIPAddress\.InUse|IncorrectState|IncorrectInstanceState|DeleteConflict(Exception)?|FileSystemInUse|TargetGroupAssociationLimit|BucketNotEmpty)$/
const GONE =
  /(NotFound(Exception)?|NoSuchEntity(Exception)?|NoSuchBucket)$|^(FileSystemNotFound|InvalidAllocationID\.NotFound|LoadBalancerNotFound|AccessPointNotFound|NatGatewayNotFound|MountTargetNotFound)$/

/** Removes one thing of a cluster. Throws InfrastructureError. */
export async function awsRemove(
  api: AwsApi,
  {kind, id}: OwnedResource,
  signal: AbortSignal,
): Promise<'removed' | 'busy'> {
  const removal = REMOVALS[kind]
  if (removal === undefined) throw new TypeError(`clouder cannot delete AWS resources of type ${kind}`)
  try {
    await removal(api, id, signal)
    return 'removed'
  } catch (error) {
    const code = error instanceof InfrastructureError ? awsCode(error.cause) : undefined
    if (code !== undefined && GONE.test(code)) return 'removed'
    if (code !== undefined && BUSY.test(code)) return 'busy'
    throw error
  }
}

const REMOVALS: Readonly<Partial<Record<OwnedKind, Removal>>> = {
  'load-balancer': removeBalancer,
  'target-group': removeTargetGroup,
  machine: async ({ec2}, id, signal) => {
    await call('ec2:TerminateInstances', signal, (options) =>
      ec2.send(new TerminateInstancesCommand({InstanceIds: [id]}), options),
    )
  },
  'nat-gateway': async ({ec2}, id, signal) => {
    await call('ec2:DeleteNatGateway', signal, (options) =>
      ec2.send(new DeleteNatGatewayCommand({NatGatewayId: id}), options),
    )
  },
  endpoint: async ({ec2}, id, signal) => {
    await call('ec2:DeleteVpcEndpoints', signal, (options) =>
      ec2.send(new DeleteVpcEndpointsCommand({VpcEndpointIds: [id]}), options),
    )
  },
  address: async ({ec2}, id, signal) => {
    await call('ec2:ReleaseAddress', signal, (options) =>
      ec2.send(new ReleaseAddressCommand({AllocationId: id}), options),
    )
  },
  'network-interface': async ({ec2}, id, signal) => {
    await call('ec2:DeleteNetworkInterface', signal, (options) =>
      ec2.send(new DeleteNetworkInterfaceCommand({NetworkInterfaceId: id}), options),
    )
  },
  volume: async ({ec2}, id, signal) => {
    await call('ec2:DeleteVolume', signal, (options) =>
      ec2.send(new DeleteVolumeCommand({VolumeId: id}), options),
    )
  },
  snapshot: async ({ec2}, id, signal) => {
    await call('ec2:DeleteSnapshot', signal, (options) =>
      ec2.send(new DeleteSnapshotCommand({SnapshotId: id}), options),
    )
  },
  'security-group': removeSecurityGroup,
  subnet: async ({ec2}, id, signal) => {
    await call('ec2:DeleteSubnet', signal, (options) =>
      ec2.send(new DeleteSubnetCommand({SubnetId: id}), options),
    )
  },
  'route-table': removeRouteTable,
  'internet-gateway': removeInternetGateway,
  network: async ({ec2}, id, signal) => {
    await call('ec2:DeleteVpc', signal, (options) => ec2.send(new DeleteVpcCommand({VpcId: id}), options))
  },
  'key-pair': async ({ec2}, id, signal) => {
    await call('ec2:DeleteKeyPair', signal, (options) =>
      ec2.send(new DeleteKeyPairCommand({KeyPairId: id}), options),
    )
  },
  'instance-profile': removeInstanceProfile,
  role: removeRole,
  policy: removePolicy,
  'file-system': removeFileSystem,
  bucket: removeBucket,
}

/**
 * Rules that name it go first: the group of the nodes names those of load balancers. Those of groups that belong to
 * no cluster stay, and so does then what they name.
 */
async function removeSecurityGroup(api: AwsApi, id: string, signal: AbortSignal): Promise<void> {
  const {ec2} = api
  const naming = async (filter: string) => {
    const answer = await call('ec2:DescribeSecurityGroups', signal, (options) =>
      ec2.send(new DescribeSecurityGroupsCommand({Filters: [{Name: filter, Values: [id]}]}), options),
    )
    return (answer.SecurityGroups ?? []).filter(({Tags: tags}) => isOfCluster(tagsOf(tags)))
  }
  for (const {GroupId: group, IpPermissions: rules = []} of await naming('ip-permission.group-id')) {
    const theirs = rulesNaming(rules, id)
    if (group === undefined || theirs.length === 0) continue
    await call('ec2:RevokeSecurityGroupIngress', signal, (options) =>
      ec2.send(new RevokeSecurityGroupIngressCommand({GroupId: group, IpPermissions: theirs}), options),
    )
  }
  for (const {GroupId: group, IpPermissionsEgress: rules = []} of await naming(
    'egress.ip-permission.group-id',
  )) {
    const theirs = rulesNaming(rules, id)
    if (group === undefined || theirs.length === 0) continue
    await call('ec2:RevokeSecurityGroupEgress', signal, (options) =>
      ec2.send(new RevokeSecurityGroupEgressCommand({GroupId: group, IpPermissions: theirs}), options),
    )
  }
  await call('ec2:DeleteSecurityGroup', signal, (options) =>
    ec2.send(new DeleteSecurityGroupCommand({GroupId: id}), options),
  )
}

interface Rule {
  readonly IpProtocol?: string | undefined
  readonly FromPort?: number | undefined
  readonly ToPort?: number | undefined
  readonly UserIdGroupPairs?: readonly {readonly GroupId?: string | undefined}[] | undefined
}

/** The part of rules that names the group; the rest of them stays. */
function rulesNaming(rules: readonly Rule[], id: string) {
  return rules.flatMap(({UserIdGroupPairs: pairs = [], ...rule}) => {
    if (!pairs.some(({GroupId: group}) => group === id)) return []
    return [
      {
        IpProtocol: rule.IpProtocol,
        FromPort: rule.FromPort,
        ToPort: rule.ToPort,
        UserIdGroupPairs: [{GroupId: id}],
      },
    ]
  })
}

async function removeRouteTable({ec2}: AwsApi, id: string, signal: AbortSignal): Promise<void> {
  const answer = await call('ec2:DescribeRouteTables', signal, (options) =>
    ec2.send(new DescribeRouteTablesCommand({Filters: [{Name: 'route-table-id', Values: [id]}]}), options),
  )
  const uses = (answer.RouteTables ?? []).flatMap(({Associations: all}) => all ?? [])
  for (const {RouteTableAssociationId: use} of uses) {
    await call('ec2:DisassociateRouteTable', signal, (options) =>
      ec2.send(new DisassociateRouteTableCommand({AssociationId: use}), options),
    )
  }
  await call('ec2:DeleteRouteTable', signal, (options) =>
    ec2.send(new DeleteRouteTableCommand({RouteTableId: id}), options),
  )
}

async function removeInternetGateway({ec2}: AwsApi, id: string, signal: AbortSignal): Promise<void> {
  const filter = {Filters: [{Name: 'internet-gateway-id', Values: [id]}]}
  const answer = await call('ec2:DescribeInternetGateways', signal, (options) =>
    ec2.send(new DescribeInternetGatewaysCommand(filter), options),
  )
  for (const {VpcId: vpc} of (answer.InternetGateways ?? []).flatMap(({Attachments: all}) => all ?? [])) {
    await call('ec2:DetachInternetGateway', signal, (options) =>
      ec2.send(new DetachInternetGatewayCommand({InternetGatewayId: id, VpcId: vpc}), options),
    )
  }
  await call('ec2:DeleteInternetGateway', signal, (options) =>
    ec2.send(new DeleteInternetGatewayCommand({InternetGatewayId: id}), options),
  )
}
