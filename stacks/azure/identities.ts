import {RoleAssignment} from '@cdktf/provider-azurerm/lib/role-assignment/index.js'
import {RoleDefinition} from '@cdktf/provider-azurerm/lib/role-definition/index.js'
import {UserAssignedIdentity} from '@cdktf/provider-azurerm/lib/user-assigned-identity/index.js'
import {Fn} from 'cdktf'
import {addressed, type Frame, named, placed} from './frame.ts'
import type {AzureNetwork} from './network.ts'
import {
  CHECKPOINT_DELETION,
  CLOUD_PROVIDER,
  DISKS,
  FILES,
  OBJECTS,
  type Permissions,
  SUBNET,
} from './permissions.ts'
import type {AzureStorage} from './storage.ts'

/** Identities of machines: no node holds a secret of a service principal. */
export interface Identities {
  readonly 'control-plane': UserAssignedIdentity
  readonly worker: UserAssignedIdentity
}

/** One identity for control planes and one for workers, each with what its role needs and where it needs it. */
export function identitiesOf(frame: Frame, network: AzureNetwork, storage: AzureStorage): Identities {
  const controlPlane = identity(frame, 'control-plane')
  const worker = identity(frame, 'worker')
  const inGroup = {scope: frame.group.id, assignable: frame.group.id}
  grant(frame, 'cloud-provider', CLOUD_PROVIDER, inGroup.assignable, [
    {address: 'cloud-provider', to: controlPlane, scope: inGroup.scope},
  ])
  grant(frame, 'disks', DISKS, inGroup.assignable, [
    {address: 'disks', to: controlPlane, scope: inGroup.scope},
  ])
  grant(frame, 'checkpoints', OBJECTS, inGroup.assignable, [
    {address: 'checkpoints-control-plane', to: controlPlane, scope: storage.checkpointsId},
    {address: 'checkpoints-worker', to: worker, scope: storage.checkpointsId},
    {address: 'backups-control-plane', to: controlPlane, scope: storage.backupsId},
  ])
  grant(frame, 'checkpoint-deletion', CHECKPOINT_DELETION, inGroup.assignable, [
    {address: 'checkpoint-deletion', to: controlPlane, scope: storage.checkpointsId},
  ])
  if (storage.files !== undefined)
    grant(frame, 'files', FILES, inGroup.assignable, [
      {address: 'files', to: controlPlane, scope: storage.files.accountId},
    ])
  if (network.broughtScope !== undefined)
    grant(frame, 'subnet', SUBNET, network.broughtScope, [
      {address: 'subnet', to: controlPlane, scope: network.nodeSubnetId},
    ])
  return {'control-plane': controlPlane, worker}
}

function identity(frame: Frame, role: 'control-plane' | 'worker'): UserAssignedIdentity {
  const made = new UserAssignedIdentity(frame.stack, `identity ${role}`, {
    name: named(frame, role),
    ...placed(frame),
  })
  return addressed(made, role)
}

interface Grant {
  readonly address: string
  readonly to: UserAssignedIdentity
  readonly scope: string
}

function grant(
  frame: Frame,
  what: string,
  {description, actions, dataActions = []}: Permissions,
  assignable: string,
  grants: readonly Grant[],
): void {
  const {stack, spec, uniqueHash} = frame
  const role = new RoleDefinition(stack, `role ${what}`, {
    // Names of roles are unique in the whole directory, not only in the subscription.
    name: Fn.join('-', [`clouder-${spec.name}-${what}`, Fn.substr(uniqueHash, 0, 8)]),
    description,
    scope: assignable,
    assignableScopes: [assignable],
    permissions: [{actions: [...actions], dataActions: [...dataActions], notActions: [], notDataActions: []}],
  })
  addressed(role, what)
  for (const {address, to, scope} of grants) {
    const assignment = new RoleAssignment(stack, `grant ${address}`, {
      scope,
      roleDefinitionId: role.roleDefinitionResourceId,
      principalId: to.principalId,
      principalType: 'ServicePrincipal',
      // An identity that was just made is not known everywhere in the directory yet.
      skipServicePrincipalAadCheck: true,
    })
    addressed(assignment, address)
  }
}
