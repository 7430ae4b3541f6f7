import {Fn, Token} from 'cdktf'
import {CLOUD_USER} from '../../src/spec/cloud-init.ts'
import {API_PORT, parseEndpoint} from '../../src/spec/syntax.ts'
import type {MachineOutput, StackOutputs} from '../input.ts'
import type {ApiBalancers} from './balancer.ts'
import type {Frame} from './frame.ts'
import type {bastionOf, AzureMachine, Surroundings} from './machines.ts'
import {memberOf} from './security.ts'
import {type AzureStorage, BACKUPS_CONTAINER, CHECKPOINTS_CONTAINER} from './storage.ts'

export interface Made extends Surroundings {
  readonly storage: AzureStorage
  readonly machines: readonly AzureMachine[]
  readonly bastion: ReturnType<typeof bastionOf>
}

/** Every output of the stack; what only Terraform knows is a reference. */
export function outputsOf(frame: Frame, made: Made): StackOutputs {
  const {bastion, storage} = made
  return {
    machines: made.machines.map((machine) => machineOutput(frame, machine)),
    endpoint: endpointOf(frame, made.balancers),
    ...(bastion === undefined
      ? {}
      : {bastion: {address: bastion.address, user: CLOUD_USER, cloudId: bastion.machine.id}}),
    checkpoints: `${storage.accountName}/${CHECKPOINTS_CONTAINER}`,
    addons: addonsOf(frame, made),
  }
}

function machineOutput(frame: Frame, found: AzureMachine): MachineOutput {
  const {node, machine, privateAddress, publicAddress} = found
  return {
    name: node.name,
    role: node.role,
    ...(node.pool === undefined ? {} : {pool: node.pool}),
    address: publicAddress ?? privateAddress,
    privateAddress,
    ssh: {user: CLOUD_USER, port: 22},
    labels: {...node.labels, ...cloudLabels(frame, found)},
    taints: node.taints.map((taint) => ({...taint})),
    providerId: providerIdOf(frame, node.name),
    cloudId: machine.id,
    imageId: imageIdOf(found),
  }
}

/** What the cloud provider of Kubernetes writes on a node; without zones it waits for the fault domain, so no zone here. */
function cloudLabels({location}: Frame, {size, zone, spot}: AzureMachine): Readonly<Record<string, string>> {
  return {
    'node.kubernetes.io/instance-type': size,
    'topology.kubernetes.io/region': location,
    ...(zone === undefined ? {} : {'topology.kubernetes.io/zone': `${location}-${zone}`}),
    ...(spot ? {'clouder.dev/spot': 'true'} : {}),
  }
}

/**
 * As cloud-provider-azure composes it from instance metadata: subscription and resource group in lower case, the rest
 * as it is. It compares the text, so another case would be another machine.
 */
function providerIdOf({subscriptionId, group}: Frame, name: string): string {
  const inGroup = `/resourceGroups/${group.plainName.toLowerCase()}`
  const subscription = Token.asString(Fn.lower(subscriptionId))
  return `azure:///subscriptions/${subscription}${inGroup}/providers/Microsoft.Compute/virtualMachines/${name}`
}

/** What the machine was really made from, which newer look-ups do not change. */
function imageIdOf({machine}: AzureMachine): string {
  if (machine.sourceImageIdInput !== undefined) return machine.sourceImageId
  const {publisher, offer, sku, version} = machine.sourceImageReference
  return [publisher, offer, sku, version].join(':')
}

function endpointOf(frame: Frame, {internalAddress, publicAddress}: ApiBalancers): StackOutputs['endpoint'] {
  const named = parseEndpoint(frame.spec.api.endpoint ?? '')
  const certSans = [internalAddress, ...(publicAddress === undefined ? [] : [publicAddress])]
  if (named !== undefined) {
    const endpoint = `${named.host.includes(':') ? `[${named.host}]` : named.host}:${named.port}`
    return {internal: endpoint, external: endpoint, certSans: [named.host, ...certSans]}
  }
  return {
    internal: `${internalAddress}:${API_PORT}`,
    external: `${publicAddress ?? internalAddress}:${API_PORT}`,
    certSans,
  }
}

/** Settings of the cloud provider and the storage drivers; client ids name identities and are no secrets. */
function addonsOf(
  frame: Frame,
  {network, security, identities, storage}: Made,
): Readonly<Record<string, string>> {
  const {azure, location, group, subscriptionId, tenantId} = frame
  const {files} = storage
  return {
    subscriptionId,
    tenantId,
    location,
    resourceGroup: group.name,
    vnet: network.vnetName,
    vnetResourceGroup: network.vnetResourceGroup,
    subnet: network.nodeSubnetName,
    securityGroup: memberOf(security, 'worker').firewall.name,
    // Machines are found by the names of their nodes, scale set or not.
    vmType: 'standard',
    loadBalancerSku: 'standard',
    controlPlaneIdentity: identities['control-plane'].clientId,
    workerIdentity: identities.worker.clientId,
    storageAccount: storage.accountName,
    backups: `${storage.accountName}/${BACKUPS_CONTAINER}`,
    ...(azure.diskEncryptionSetId === undefined ? {} : {diskEncryptionSet: azure.diskEncryptionSetId}),
    ...(files === undefined ? {} : {filesAccount: files.accountName, filesShare: files.share}),
  }
}
