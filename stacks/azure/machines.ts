import type {LinuxVirtualMachine} from '@cdktf/provider-azurerm/lib/linux-virtual-machine/index.js'
import {OrchestratedVirtualMachineScaleSet} from '@cdktf/provider-azurerm/lib/orchestrated-virtual-machine-scale-set/index.js'
import {type CloudMachine, cloudMachine, hasBastionHost} from '../../src/spec/cloud-machines.ts'
import type {ClusterSpec} from '../../src/spec/cluster-spec.ts'
import {type PlannedNode, plannedNodes} from '../../src/spec/machines.ts'
import type {ApiBalancers} from './balancer.ts'
import {controlPlaneData, workerData} from './boot.ts'
import {addressed, type Frame, named, placed, type Tags} from './frame.ts'
import type {Identities} from './identities.ts'
import {architectureOf, type ImageArguments, imageOf} from './images.ts'
import {IMAGE_GIB, interfaceOf, machineOf} from './machine.ts'
import {type AzureNetwork, publicAddress} from './network.ts'
import {memberOf, type Role, type RoleSecurity} from './security.ts'

/** The jump host is made from the image of the control planes, so it has their kind of processor. */
const BASTION_SIZES = {amd64: 'Standard_B2ts_v2', arm64: 'Standard_B2pts_v2'}

/** A node with everything that belongs to it. */
export interface AzureMachine {
  readonly node: PlannedNode
  readonly size: string
  readonly spot: boolean
  readonly zone: string | undefined
  readonly machine: LinuxVirtualMachine
  readonly privateAddress: string
  /** Absent: the machine has none. */
  readonly publicAddress?: string
}

/** What machines are put into. */
export interface Surroundings {
  readonly network: AzureNetwork
  readonly security: ReadonlyMap<Role, RoleSecurity>
  readonly balancers: ApiBalancers
  readonly identities: Identities
}

/** Control planes or a pool: what its machines have in common. */
interface Pool extends CloudMachine {
  /** Name in addresses and names of resources. */
  readonly address: string
  /** Key of its image in the record. */
  readonly owner: string
  readonly nodes: readonly PlannedNode[]
}

/**
 * Every machine by itself, so that each has a name and an address before it is there. Flexible scale sets without a
 * profile hold them by role and pool: that spreads them over the hardware where there are no zones.
 */
export function machinesOf(frame: Frame, surroundings: Surroundings): readonly AzureMachine[] {
  return poolsOf(frame.spec).flatMap((pool) => {
    if (pool.nodes.length === 0) return []
    const scaleSet = addressed(
      new OrchestratedVirtualMachineScaleSet(frame.stack, `scale set ${pool.address}`, {
        name: named(frame, pool.address),
        // One means: as many as there are, in every region and with zones too.
        platformFaultDomainCount: 1,
        singlePlacementGroup: false,
        ...(frame.azure.zones.length === 0 ? {} : {zones: [...frame.azure.zones].sort()}),
        ...placed(frame),
      }),
      pool.address,
    )
    const image = imageOf(frame, pool.owner, pool.size)
    return pool.nodes.map((node, index) => nodeOf(frame, surroundings, {pool, scaleSet, image, node, index}))
  })
}

function poolsOf(spec: ClusterSpec): readonly Pool[] {
  const nodes = plannedNodes(spec)
  const pools = [undefined, ...spec.workers.map(({name}) => name)]
  return pools.map((name) => ({
    ...cloudMachine(spec, name),
    address: name === undefined ? 'control-plane' : `pool-${name}`,
    owner: name ?? 'control-plane',
    nodes: nodes.filter(({pool}) => pool === name),
  }))
}

interface NodeParts {
  readonly pool: Pool
  readonly scaleSet: OrchestratedVirtualMachineScaleSet
  readonly image: ImageArguments
  readonly node: PlannedNode
  readonly index: number
}

function nodeOf(frame: Frame, surroundings: Surroundings, parts: NodeParts): AzureMachine {
  const {azure, input} = frame
  const {pool, scaleSet, image, node, index} = parts
  const {network, security, balancers, identities} = surroundings
  const zones = [...azure.zones].sort()
  const zone = zones[index % zones.length]
  const address = azure.network.mode === 'public' ? publicAddress(frame, node.name, oneZone(zone)) : undefined
  const nic = interfaceOf(frame, node.name, {
    subnetId: network.nodeSubnetId,
    address,
    security: memberOf(security, node.role),
    pools: node.role === 'control-plane' ? balancers.pools : {},
  })
  const machine = machineOf(frame, {
    // The cloud provider of Kubernetes looks for the machine by the name of its node.
    name: node.name,
    computerName: node.name,
    osDiskName: named(frame, node.name),
    size: pool.size,
    diskGiB: pool.diskGiB,
    spot: pool.spot,
    zone,
    image,
    nic,
    customData:
      node.role === 'worker'
        ? workerData(input.cloudInit)
        : controlPlaneData(input.cloudInit, balancers.internalAddress),
    identityId: identities[node.role].id,
    scaleSetId: scaleSet.id,
    tags: roleTags(pool, node),
    outbound: network.outbound,
  })
  const {size, spot} = pool
  const found = {node, size, spot, zone, machine, privateAddress: nic.privateIpAddress}
  return address === undefined ? found : {...found, publicAddress: address.ipAddress}
}

function roleTags({spot}: Pool, {name, role}: PlannedNode): Tags {
  const tags = {'clouder-node': name, 'clouder-role': role}
  // Whoever watches for the announcement that a machine is taken back finds these by the tag.
  return spot ? {...tags, 'clouder-spot': 'true'} : tags
}

const oneZone = (zone: string | undefined): string[] | undefined => (zone === undefined ? undefined : [zone])

/** The jump host and its address; undefined where none is asked for. */
export function bastionOf(
  frame: Frame,
  {network, security}: Pick<Surroundings, 'network' | 'security'>,
): {readonly machine: LinuxVirtualMachine; readonly address: string} | undefined {
  if (!hasBastionHost(frame.spec)) return undefined
  const [zone] = [...frame.azure.zones].sort()
  const size = BASTION_SIZES[architectureOf(cloudMachine(frame.spec, undefined).size)]
  const address = publicAddress(frame, 'bastion', oneZone(zone))
  const nic = interfaceOf(frame, 'bastion', {
    subnetId: network.bastionSubnetId,
    address,
    security: memberOf(security, 'bastion'),
    pools: {},
  })
  const name = named(frame, 'bastion')
  const machine = machineOf(frame, {
    name,
    computerName: 'bastion',
    osDiskName: name,
    size,
    diskGiB: IMAGE_GIB,
    spot: false,
    zone,
    image: imageOf(frame, 'control-plane', size),
    nic,
    customData: workerData(frame.input.cloudInit),
    tags: {'clouder-role': 'bastion'},
    outbound: [],
  })
  return {machine, address: address.ipAddress}
}
