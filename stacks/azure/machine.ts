import {LinuxVirtualMachine} from '@cdktf/provider-azurerm/lib/linux-virtual-machine/index.js'
import type {LbBackendAddressPool} from '@cdktf/provider-azurerm/lib/lb-backend-address-pool/index.js'
import {NetworkInterfaceApplicationSecurityGroupAssociation} from '@cdktf/provider-azurerm/lib/network-interface-application-security-group-association/index.js'
import {NetworkInterfaceBackendAddressPoolAssociation} from '@cdktf/provider-azurerm/lib/network-interface-backend-address-pool-association/index.js'
import {NetworkInterfaceSecurityGroupAssociation} from '@cdktf/provider-azurerm/lib/network-interface-security-group-association/index.js'
import {NetworkInterface} from '@cdktf/provider-azurerm/lib/network-interface/index.js'
import type {PublicIp} from '@cdktf/provider-azurerm/lib/public-ip/index.js'
import type {ITerraformDependable} from 'cdktf'
import {CLOUD_USER} from '../../src/spec/cloud-init.ts'
import {addressed, type Frame, named, placed, type Tags} from './frame.ts'
import type {ImageArguments} from './images.ts'
import type {RoleSecurity} from './security.ts'

/** Size of the images; a disk cannot be smaller than what it is made from. */
export const IMAGE_GIB = 30

const IP_CONFIGURATION = 'primary'

export interface InterfaceParts {
  readonly subnetId: string
  readonly address: PublicIp | undefined
  readonly security: RoleSecurity
  /** Backend pools by name. */
  readonly pools: Readonly<Record<string, LbBackendAddressPool>>
}

/** The one network interface of a machine, with its firewall. */
export function interfaceOf(frame: Frame, what: string, parts: InterfaceParts): NetworkInterface {
  const {stack} = frame
  const nic = new NetworkInterface(stack, `interface ${what}`, {
    name: named(frame, what),
    ipConfiguration: [
      {
        name: IP_CONFIGURATION,
        subnetId: parts.subnetId,
        privateIpAddressAllocation: 'Dynamic',
        ...(parts.address === undefined ? {} : {publicIpAddressId: parts.address.id}),
      },
    ],
    ...placed(frame),
  })
  const networkInterfaceId = addressed(nic, what).id
  const firewall = new NetworkInterfaceSecurityGroupAssociation(stack, `firewall of ${what}`, {
    networkInterfaceId,
    networkSecurityGroupId: parts.security.firewall.id,
  })
  addressed(firewall, what)
  const member = new NetworkInterfaceApplicationSecurityGroupAssociation(stack, `member ${what}`, {
    networkInterfaceId,
    applicationSecurityGroupId: parts.security.members.id,
  })
  addressed(member, what)
  for (const [name, pool] of Object.entries(parts.pools)) {
    const behind = new NetworkInterfaceBackendAddressPoolAssociation(stack, `${what} behind ${name}`, {
      networkInterfaceId,
      ipConfigurationName: IP_CONFIGURATION,
      backendAddressPoolId: pool.id,
    })
    addressed(behind, `${what}-${name}`)
  }
  return nic
}

export interface MachineParts {
  readonly name: string
  readonly computerName: string
  readonly osDiskName: string
  readonly size: string
  readonly diskGiB: number
  readonly spot: boolean
  readonly zone: string | undefined
  readonly image: ImageArguments
  readonly nic: NetworkInterface
  readonly customData: string
  readonly identityId?: string
  readonly scaleSetId?: string
  readonly tags: Tags
  readonly outbound: readonly ITerraformDependable[]
}

/** One virtual machine. Its address in Terraform is its host name. */
export function machineOf(frame: Frame, parts: MachineParts): LinuxVirtualMachine {
  const {input, azure} = frame
  const encryptionSet = azure.diskEncryptionSetId
  const {tags, ...place} = placed(frame)
  const machine = new LinuxVirtualMachine(frame.stack, `machine ${parts.computerName}`, {
    ...place,
    name: parts.name,
    computerName: parts.computerName,
    size: parts.size,
    ...(parts.zone === undefined ? {} : {zone: parts.zone}),
    ...(parts.scaleSetId === undefined ? {} : {virtualMachineScaleSetId: parts.scaleSetId}),
    networkInterfaceIds: [parts.nic.id],
    adminUsername: CLOUD_USER,
    adminSshKey: [{username: CLOUD_USER, publicKey: input.sshPublicKey}],
    disablePasswordAuthentication: true,
    customData: parts.customData,
    ...parts.image,
    osDisk: {
      name: parts.osDiskName,
      caching: 'ReadWrite',
      storageAccountType: hasPremiumDisks(parts.size) ? 'Premium_LRS' : 'StandardSSD_LRS',
      diskSizeGb: parts.diskGiB,
      ...(encryptionSet === undefined ? {} : {diskEncryptionSetId: encryptionSet}),
    },
    encryptionAtHostEnabled: true,
    // Without an account of its own Azure keeps the console, where the host keys are read.
    bootDiagnostics: {},
    ...(parts.identityId === undefined
      ? {}
      : {identity: {type: 'UserAssigned', identityIds: [parts.identityId]}}),
    ...(parts.spot ? {priority: 'Spot', evictionPolicy: 'Deallocate', maxBidPrice: -1} : {}),
    tags: {...tags, ...parts.tags},
    dependsOn: [...parts.outbound],
    // Each of these would replace the machine, and a node is replaced on purpose only.
    lifecycle: {ignoreChanges: ['custom_data', 'source_image_id', 'source_image_reference']},
  })
  return addressed(machine, parts.computerName)
}

/** `s` after the number of processors, or in the old names before it: `Standard_D2s_v5`, `Standard_DS2_v2`. */
function hasPremiumDisks(size: string): boolean {
  return /^Standard_([A-Z]+\d+(-\d+)?[a-z]*s|[A-Z]+S\d)/.test(size)
}
