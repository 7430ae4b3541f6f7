import {
  areUnique,
  type AzureRule,
  blockOf,
  blocksOf,
  type Body,
  exactlyOne,
  type Found,
  isSet,
  numberOf,
  textOf,
  textsOf,
} from './rule.ts'

/** Base64, plain or made by Terraform. */
const isBase64 = (text: string): boolean =>
  /^\$\{base64encode\(.*\)\}$/s.test(text) ||
  (/^[A-Za-z0-9+/]*={0,2}$/.test(text) && text.length % 4 === 0 && text.length <= 87_380)

const isSpot = ({priority}: Body): boolean => priority === 'Spot'

const scaleSetOf = (machine: Body, found: Found): Body | undefined =>
  found.behind(machine.virtual_machine_scale_set_id)?.body

const hasPremiumDisks = (size: string): boolean => /^Standard_([A-Z]+\d+(-\d+)?[a-z]*s|[A-Z]+S\d)/.test(size)
const isArm = (size: string): boolean => /^Standard_[A-Z]+\d+(-\d+)?[a-z]*p[a-z]*(_|$)/.test(size)

/** Arguments of a scale set that are dropped without a word where it has no size of its own. */
const PROFILE = [
  'boot_diagnostics',
  'encryption_at_host_enabled',
  'eviction_policy',
  'identity',
  'instances',
  'max_bid_price',
  'network_interface',
  'os_disk',
  'os_profile',
  'priority',
  'source_image_id',
  'source_image_reference',
  'user_data_base64',
  'zone_balance',
]

/** Rules about machines, scale sets and identities. */
export const computeRules: readonly AzureRule[] = [
  {
    resource: 'azurerm_linux_virtual_machine',
    rule: 'exactly one of source_image_id, source_image_reference and os_managed_disk_id is set',
    refusedBy: 'plan',
    holds: (body) => exactlyOne(body, 'source_image_id', 'source_image_reference', 'os_managed_disk_id'),
    broken: (body) => ({...body, source_image_id: 'id'}),
    where: ({source_image_reference: reference}) => isSet(reference),
  },
  {
    resource: 'azurerm_linux_virtual_machine',
    rule: 'without passwords, the administrator has a key: RSA of 2048 bits or ed25519',
    refusedBy: 'apply',
    holds: (body) =>
      body.disable_password_authentication === true &&
      !isSet(body.admin_password) &&
      blocksOf(body.admin_ssh_key).length === 1 &&
      blocksOf(body.admin_ssh_key).every(
        ({username, public_key: key}) =>
          username === body.admin_username && /^ssh-(rsa|ed25519) [A-Za-z0-9+/]+=*/.test(textOf(key)),
      ),
    broken: (body) => ({...body, admin_ssh_key: []}),
  },
  {
    resource: 'azurerm_linux_virtual_machine',
    rule: 'custom_data is base64 of at most 64 KiB',
    refusedBy: 'plan',
    holds: ({custom_data: data}) => isBase64(textOf(data)),
    broken: (body) => ({...body, custom_data: '#cloud-config'}),
  },
  {
    resource: 'azurerm_linux_virtual_machine',
    rule: 'computer_name has at most 64 letters, digits, full stops and hyphens',
    refusedBy: 'plan',
    holds: ({computer_name: name}) => /^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$/.test(textOf(name)),
    broken: (body) => ({...body, computer_name: 'cp_1'}),
  },
  {
    resource: 'azurerm_linux_virtual_machine',
    rule: 'names are unique in the resource group',
    refusedBy: 'Azure',
    holds: ({name}, found) =>
      found.of('azurerm_linux_virtual_machine').filter(({body}) => body.name === name).length === 1,
    broken: (body) => ({...body, name: 'worker-1'}),
    where: ({name}) => name === 'cp-1',
  },
  {
    resource: 'azurerm_linux_virtual_machine',
    rule: 'eviction_policy and max_bid_price are set for spot machines, and only for these',
    refusedBy: 'apply',
    holds: (body) =>
      isSet(body.eviction_policy) === isSpot(body) && (isSpot(body) || !isSet(body.max_bid_price)),
    broken: (body) => ({...body, eviction_policy: undefined}),
    where: isSpot,
  },
  {
    resource: 'azurerm_linux_virtual_machine',
    rule: 'a machine of a scale set with zones has one of its zones',
    refusedBy: 'Azure',
    holds: (body, found) => {
      const set = scaleSetOf(body, found)
      if (set === undefined) return !isSet(body.virtual_machine_scale_set_id)
      const zones = textsOf(set.zones)
      return zones.length === 0 ? !isSet(body.zone) : zones.includes(textOf(body.zone))
    },
    broken: (body) => ({...body, zone: '4'}),
    where: ({virtual_machine_scale_set_id: set}) => isSet(set),
  },
  {
    resource: 'azurerm_linux_virtual_machine',
    rule: 'a zone, an availability set and a fault domain are mutually exclusive here: sets with one domain choose it themselves',
    refusedBy: 'plan',
    holds: (body) => !isSet(body.availability_set_id) && !isSet(body.platform_fault_domain),
    broken: (body) => ({...body, platform_fault_domain: 0}),
  },
  {
    resource: 'azurerm_linux_virtual_machine',
    rule: 'premium disks are only for sizes that support them',
    refusedBy: 'Azure',
    holds: (body) =>
      !textOf(blockOf(body.os_disk).storage_account_type).startsWith('Premium') ||
      hasPremiumDisks(textOf(body.size)),
    broken: (body) => ({...body, size: 'Standard_D2_v5'}),
    where: ({os_disk: disk}) => blockOf(disk).storage_account_type === 'Premium_LRS',
  },
  {
    resource: 'azurerm_linux_virtual_machine',
    rule: 'a disk is at least as large as the image, which has 30 GiB',
    refusedBy: 'Azure',
    holds: (body) => numberOf(blockOf(body.os_disk).disk_size_gb) >= 30,
    broken: (body) => ({...body, os_disk: {...blockOf(body.os_disk), disk_size_gb: 20}}),
  },
  {
    resource: 'azurerm_linux_virtual_machine',
    rule: 'sizes with Arm processors get Arm images, and other sizes do not',
    refusedBy: 'Azure',
    holds: (body) => {
      const reference = blockOf(body.source_image_reference)
      return !isSet(reference.sku) || isArm(textOf(body.size)) === textOf(reference.sku).includes('arm64')
    },
    broken: (body) => ({...body, size: 'Standard_D4ps_v5'}),
    where: ({source_image_reference: reference}) => !textOf(blockOf(reference).sku).includes('arm64'),
  },
  {
    resource: 'azurerm_linux_virtual_machine',
    rule: 'every machine has its own network interface',
    refusedBy: 'Azure',
    holds: (_, found) =>
      areUnique(
        found.of('azurerm_linux_virtual_machine').flatMap(({body}) => textsOf(body.network_interface_ids)),
      ),
    broken: (body) => ({...body, network_interface_ids: ['${azurerm_network_interface.worker-1.id}']}),
    where: ({name}) => name === 'cp-1',
  },
  {
    resource: 'azurerm_linux_virtual_machine',
    rule: 'an assigned identity has type UserAssigned',
    refusedBy: 'apply',
    holds: ({identity}) =>
      !isSet(identity) ||
      (blockOf(identity).type === 'UserAssigned') === isSet(blockOf(identity).identity_ids),
    broken: (body) => ({...body, identity: {type: 'SystemAssigned', identity_ids: ['id']}}),
  },
  {
    resource: 'azurerm_linux_virtual_machine',
    rule: 'disk_encryption_set_id and secure_vm_disk_encryption_set_id are mutually exclusive',
    refusedBy: 'plan',
    holds: ({os_disk: disk}) => !isSet(blockOf(disk).secure_vm_disk_encryption_set_id),
    broken: (body) => ({
      ...body,
      os_disk: {...blockOf(body.os_disk), secure_vm_disk_encryption_set_id: 'id'},
    }),
  },
  {
    resource: 'azurerm_orchestrated_virtual_machine_scale_set',
    rule: 'one fault domain: more are not available in every region, and never together with zones',
    refusedBy: 'Azure',
    holds: ({platform_fault_domain_count: count}) => count === 1,
    broken: (body) => ({...body, platform_fault_domain_count: 3}),
  },
  {
    resource: 'azurerm_orchestrated_virtual_machine_scale_set',
    rule: 'machines can join only if single_placement_group is false',
    refusedBy: 'Azure',
    holds: ({single_placement_group: single}) => single === false,
    broken: (body) => ({...body, single_placement_group: true}),
  },
  {
    resource: 'azurerm_orchestrated_virtual_machine_scale_set',
    rule: 'without sku_name there is no profile: its settings would be dropped silently',
    refusedBy: 'apply',
    holds: (body) => !isSet(body.sku_name) && PROFILE.every((argument) => !isSet(body[argument])),
    broken: (body) => ({...body, priority: 'Spot'}),
  },
  {
    resource: 'azurerm_user_assigned_identity',
    rule: 'a name has 3 to 128 letters, digits, hyphens and underscores',
    refusedBy: 'Azure',
    holds: ({name}) => /^[A-Za-z0-9][\w-]{2,127}$/.test(textOf(name)),
    broken: (body) => ({...body, name: 'a.b'}),
  },
  {
    resource: 'azurerm_role_definition',
    rule: 'it can be assigned where it is defined: a resource group, not a single resource',
    refusedBy: 'Azure',
    holds: ({scope, assignable_scopes: scopes}, found) =>
      textsOf(scopes).includes(textOf(scope)) &&
      textsOf(scopes).every(
        (one) =>
          found.behind(one)?.type === 'azurerm_resource_group' ||
          /^\/subscriptions\/[^/]+\/resourceGroups\/[^/]+$/.test(one),
      ),
    broken: (body) => ({...body, assignable_scopes: ['${azurerm_storage_account.objects.id}']}),
  },
  {
    resource: 'azurerm_role_definition',
    rule: 'data actions are listed under data_actions, and actions have full names',
    refusedBy: 'Azure',
    holds: ({permissions}) =>
      blocksOf(permissions).every(
        ({actions, data_actions: data}) =>
          [...textsOf(actions), ...textsOf(data)].every((one) => /^Microsoft\.\w+(\/\w+)+$/.test(one)) &&
          textsOf(actions).every((one) => !one.includes('/blobs/')) &&
          textsOf(data).every((one) => one.includes('/blobs/')),
      ),
    broken: (body) => ({...body, permissions: [{actions: ['Microsoft.Compute/*']}]}),
  },
  {
    resource: 'azurerm_role_assignment',
    rule: 'exactly one of role_definition_id and role_definition_name is set',
    refusedBy: 'plan',
    holds: (body) => exactlyOne(body, 'role_definition_id', 'role_definition_name'),
    broken: (body) => ({...body, role_definition_name: 'Reader'}),
  },
  {
    resource: 'azurerm_role_assignment',
    rule: 'skip_service_principal_aad_check is only for principals of type ServicePrincipal',
    refusedBy: 'apply',
    holds: (body) =>
      body.skip_service_principal_aad_check !== true || body.principal_type === 'ServicePrincipal',
    broken: (body) => ({...body, principal_type: 'User'}),
  },
  {
    resource: 'azurerm_role_assignment',
    rule: 'an identity has a role only once per scope',
    refusedBy: 'Azure',
    holds: (_, found) =>
      areUnique(
        found
          .of('azurerm_role_assignment')
          .map(({body}) => [body.scope, body.role_definition_id, body.principal_id].map(textOf).join(' ')),
      ),
    broken: (body) => ({
      ...body,
      scope: '${azurerm_storage_container.checkpoints.id}',
      role_definition_id: '${azurerm_role_definition.checkpoints.role_definition_resource_id}',
      principal_id: '${azurerm_user_assigned_identity.worker.principal_id}',
    }),
    where: ({scope}) => textOf(scope).includes('resource_group'),
  },
]
