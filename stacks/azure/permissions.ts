/** What a role may do; every action by its full name. */
export interface Permissions {
  readonly description: string
  readonly actions: readonly string[]
  readonly dataActions?: readonly string[]
}

const network = (what: string) => `Microsoft.Network/${what}`
const compute = (what: string) => `Microsoft.Compute/${what}`
const storage = (what: string) => `Microsoft.Storage/storageAccounts/${what}`

const SUBNET_ACTIONS = [
  network('virtualNetworks/read'),
  network('virtualNetworks/subnets/read'),
  network('virtualNetworks/subnets/join/action'),
]

/** Writing a network interface or machine is also joining it to what it stands in, which Azure asks for one by one. */
const INTERFACE_ACTIONS = [
  network('networkInterfaces/read'),
  network('networkInterfaces/write'),
  network('networkInterfaces/join/action'),
  network('networkSecurityGroups/join/action'),
  network('applicationSecurityGroups/joinIpConfiguration/action'),
  network('loadBalancers/backendAddressPools/join/action'),
  network('publicIPAddresses/join/action'),
]

/** Cloud controller manager: what machines there are, and load balancers for services. */
export const CLOUD_PROVIDER: Permissions = {
  description: 'Load balancers of Kubernetes services, and what machines there are',
  actions: [
    compute('availabilitySets/read'),
    compute('virtualMachineScaleSets/read'),
    compute('virtualMachines/read'),
    compute('virtualMachines/instanceView/read'),
    network('loadBalancers/read'),
    network('loadBalancers/write'),
    network('loadBalancers/delete'),
    network('loadBalancers/backendAddressPools/read'),
    network('networkSecurityGroups/read'),
    network('networkSecurityGroups/write'),
    network('publicIPAddresses/read'),
    network('publicIPAddresses/write'),
    network('publicIPAddresses/delete'),
    ...INTERFACE_ACTIONS,
    ...SUBNET_ACTIONS,
  ],
}

/** Controller of the Azure Disk CSI driver. */
export const DISKS: Permissions = {
  description: 'Disks and snapshots of Kubernetes volumes, and attaching them',
  actions: [
    compute('disks/read'),
    compute('disks/write'),
    compute('disks/delete'),
    compute('snapshots/read'),
    compute('snapshots/write'),
    compute('snapshots/delete'),
    compute('virtualMachines/read'),
    compute('virtualMachines/write'),
    network('networkInterfaces/join/action'),
    // A machine keeps its identity when a disk is attached, which counts as assigning it.
    'Microsoft.ManagedIdentity/userAssignedIdentities/assign/action',
  ],
}

/** Controller of the Azure File CSI driver, on the one account that holds the shares. */
export const FILES: Permissions = {
  description: 'Shares of the account of shared files',
  actions: [
    'Microsoft.Storage/storageAccounts/read',
    storage('fileServices/read'),
    storage('fileServices/shares/read'),
    storage('fileServices/shares/write'),
    storage('fileServices/shares/delete'),
  ],
}

/** Checkpoints and backups, on one container: written and read. */
export const OBJECTS: Permissions = {
  description: 'Write and read objects of one container of checkpoints or backups',
  actions: [storage('blobServices/containers/read')],
  dataActions: [
    storage('blobServices/containers/blobs/read'),
    storage('blobServices/containers/blobs/write'),
    storage('blobServices/containers/blobs/add/action'),
  ],
}

/** For the controller of checkpoints, which runs on control planes: it alone deletes what a container keeps. */
export const CHECKPOINT_DELETION: Permissions = {
  description: 'Delete checkpoints',
  actions: [],
  dataActions: [storage('blobServices/containers/blobs/delete')],
}

/** The subnet of a network that was brought, which lies outside the resource group of the cluster. */
export const SUBNET: Permissions = {
  description: 'Internal load balancers in a subnet that was brought',
  actions: SUBNET_ACTIONS,
}
