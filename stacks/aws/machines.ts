import {EipAssociation} from '@cdktf/provider-aws/lib/eip-association/index.js'
import {Eip} from '@cdktf/provider-aws/lib/eip/index.js'
import {Instance} from '@cdktf/provider-aws/lib/instance/index.js'
import {KeyPair} from '@cdktf/provider-aws/lib/key-pair/index.js'
import {cloudMachine, hasBastionHost} from '../../src/spec/cloud-machines.ts'
import {type PlannedNode, plannedNodes} from '../../src/spec/machines.ts'
import {add, type Frame, namedWithin, type NodeRole, tagsOf, type Tags} from './frame.ts'
import type {Identity} from './identities.ts'
import {architectureOf, type ImageOf} from './images.ts'
import type {AwsNetwork, ZoneSubnets} from './network.ts'
import type {SecurityGroups} from './security.ts'

/** What every machine is made with. */
export interface Surroundings {
  readonly network: AwsNetwork
  readonly groups: SecurityGroups
  readonly identities: Readonly<Record<NodeRole, Identity>>
  readonly imageOf: ImageOf
  readonly keyName: string
}

/** A node and the machine that was made for it. */
export interface NodeMachine {
  readonly node: PlannedNode
  readonly size: string
  readonly instance: Instance
  /** Where SSH reaches it. */
  readonly address: string
}

/** The cluster's key as EC2 knows it; cloud-init lets it in, whatever user the image has of its own. */
export function keyPairOf(frame: Frame): string {
  return add(frame, KeyPair, 'cluster', {
    keyName: namedWithin(255, frame, ''),
    publicKey: frame.input.sshPublicKey,
    tags: tagsOf(frame, 'key'),
  }).keyName
}

/** A machine for every node of the spec, spread over the zones role by role and pool by pool. */
export function nodesOf(frame: Frame, around: Surroundings): readonly NodeMachine[] {
  const counted = new Map<string | undefined, number>()
  return plannedNodes(frame.spec).map((node) => {
    const index = counted.get(node.pool) ?? 0
    counted.set(node.pool, index + 1)
    return nodeMachine(frame, around, node, zoneAt(around.network, index))
  })
}

function zoneAt({zones}: AwsNetwork, index: number): ZoneSubnets {
  const zone = zones[index % Math.max(zones.length, 1)]
  if (zone === undefined) throw new TypeError('the network has no subnet for nodes')
  return zone
}

/** The node termination handler of AWS minds the machines that have it. */
const SPOT_TAGS: Tags = {'aws-node-termination-handler/managed': 'true'}

function nodeMachine(frame: Frame, around: Surroundings, node: PlannedNode, zone: ZoneSubnets): NodeMachine {
  const {aws, spec} = frame
  const {size, diskGiB, spot} = cloudMachine(spec, node.pool)
  const isPublic = aws.network.mode === 'public'
  const instance = add(frame, Instance, node.name, {
    ...commonOf(frame, around, node.name, diskGiB),
    ami: around.imageOf(node.pool ?? node.role, size),
    instanceType: size,
    subnetId: zone.nodes,
    vpcSecurityGroupIds: [around.groups[node.role]],
    iamInstanceProfile: around.identities[node.role].profile,
    // Subnets that we make give none by themselves; those that are brought may.
    ...(isPublic || aws.network.existing !== undefined ? {associatePublicIpAddress: isPublic} : {}),
    ...(spot ? {instanceMarketOptions: {marketType: 'spot', spotOptions: SPOT_OPTIONS}} : {}),
    tags: tagsOf(frame, node.name, {
      'clouder.dev/role': node.role,
      ...(node.pool === undefined ? {} : {'clouder.dev/pool': node.pool}),
      ...(spot ? SPOT_TAGS : {}),
    }),
    dependsOn: [...zone.wayOut],
  })
  const address = isPublic
    ? aws.elasticIps
      ? lastingAddress(frame, node.name, instance)
      : instance.publicIp
    : instance.privateIp
  return {node, size, instance, address}
}

const SPOT_OPTIONS = {spotInstanceType: 'one-time', instanceInterruptionBehavior: 'terminate'}

/**
 * What is for new machines alone: a newer image, another first boot, a place among more zones, another key. A machine
 * that holds a part of a cluster is not replaced for it. A public address is among them because a machine that is
 * stopped has none, which Terraform would take for a reason to replace it.
 */
const STAYS = [
  'ami',
  'user_data',
  'subnet_id',
  'associate_public_ip_address',
  'root_block_device[0].kms_key_id',
]

/** Disk, key, metadata and first boot, the same for nodes and jump host. */
function commonOf(frame: Frame, {keyName}: Surroundings, name: string, diskGiB: number) {
  const {kmsKeyId} = frame.aws
  return {
    keyName,
    userData: frame.input.cloudInit,
    rootBlockDevice: {
      volumeType: 'gp3',
      volumeSize: diskGiB,
      encrypted: true,
      ...(kmsKeyId === undefined ? {} : {kmsKeyId}),
      deleteOnTermination: true,
      tags: tagsOf(frame, name),
    },
    metadataOptions: {
      httpEndpoint: 'enabled',
      httpTokens: 'required',
      // A pod is one hop further away than its node: what the node may do in the account is not for pods.
      httpPutResponseHopLimit: 1,
    },
    ...(frame.aws.deletionProtection ? {disableApiTermination: true} : {}),
    lifecycle: {ignoreChanges: [...STAYS]},
  }
}

function lastingAddress(frame: Frame, name: string, instance: Instance): string {
  const address = add(frame, Eip, name, {domain: 'vpc', tags: tagsOf(frame, name)})
  add(frame, EipAssociation, name, {allocationId: address.id, instanceId: instance.id})
  return address.publicIp
}

const BASTION = 'bastion'
const BASTION_DISK_GIB = 20

/** The jump host, of the architecture of the control planes; undefined: none is asked for. */
export function bastionOf(
  frame: Frame,
  around: Surroundings,
): {instance: Instance; address: string} | undefined {
  const {aws, spec} = frame
  const [subnetId] = around.network.publicSubnetIds
  const group = around.groups.bastion
  if (!hasBastionHost(spec) || subnetId === undefined || group === undefined) return undefined
  const size = architectureOf(cloudMachine(spec, undefined).size) === 'arm64' ? 't4g.nano' : 't3.nano'
  const instance = add(frame, Instance, BASTION, {
    ...commonOf(frame, around, BASTION, BASTION_DISK_GIB),
    ami: around.imageOf(BASTION, size),
    instanceType: size,
    subnetId,
    vpcSecurityGroupIds: [group],
    associatePublicIpAddress: true,
    tags: tagsOf(frame, BASTION, {'clouder.dev/role': BASTION}),
    dependsOn: [...around.network.gateway],
  })
  const address = aws.elasticIps ? lastingAddress(frame, BASTION, instance) : instance.publicIp
  return {instance, address}
}
