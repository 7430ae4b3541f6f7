import {overlaps, parseCidr} from '../../../src/base/cidr.ts'
import {
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

const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'].flatMap((text) => parseCidr(text) ?? [])

/** Letters of a name that Terraform puts together: a prefix and so many characters of a hash. */
function lengthOfName(name: string): number {
  const [, prefix = '', length] =
    /^\$\{join\("", \["([a-z0-9]+)", substr\(sha1\(.*\), 0, (\d+)\)\]\)\}$/.exec(name) ?? []
  return length === undefined ? Number.NaN : prefix.length + Number(length)
}

function isRangeOfFirewall(text: string): boolean {
  const cidr = parseCidr(text.includes('/') ? text : `${text}/32`)
  if (cidr?.family !== 4 || PRIVATE.some((range) => overlaps(range, cidr))) return false
  return text.includes('/') ? cidr.prefix <= 30 : true
}

const accountOf = (body: Body, found: Found): Body => found.behind(body.storage_account_id)?.body ?? {}

/** Rules about storage accounts and what lies in them. */
export const storageRules: readonly AzureRule[] = [
  {
    resource: 'azurerm_storage_account',
    rule: 'a name has 3 to 24 lower-case letters and digits',
    refusedBy: 'plan',
    holds: ({name}) => lengthOfName(textOf(name)) >= 3 && lengthOfName(textOf(name)) <= 24,
    broken: (body) => ({...body, name: '${join("", ["clouder", substr(sha1("x"), 0, 40)])}'}),
  },
  {
    resource: 'azurerm_storage_account',
    rule: 'accounts of kind FileStorage are Premium, and LRS or ZRS',
    refusedBy: 'apply',
    holds: (body) =>
      body.account_kind !== 'FileStorage' ||
      (body.account_tier === 'Premium' && ['LRS', 'ZRS'].includes(textOf(body.account_replication_type))),
    broken: (body) => ({...body, account_tier: 'Standard'}),
    where: ({account_kind: kind}) => kind === 'FileStorage',
  },
  {
    resource: 'azurerm_storage_account',
    rule: 'access_tier is only for standard accounts',
    refusedBy: 'apply',
    holds: (body) => body.account_tier !== 'Premium' || !isSet(body.access_tier),
    broken: (body) => ({...body, access_tier: 'Hot'}),
    where: ({account_tier: tier}) => tier === 'Premium',
  },
  {
    resource: 'azurerm_storage_account',
    rule: 'infrastructure_encryption_enabled is only for StorageV2 and for premium block blobs and files',
    refusedBy: 'apply',
    holds: (body) =>
      body.infrastructure_encryption_enabled !== true ||
      body.account_kind === 'StorageV2' ||
      body.account_tier === 'Premium',
    broken: (body) => ({...body, account_kind: 'BlobStorage'}),
    where: ({account_kind: kind}) => kind === 'StorageV2',
  },
  {
    resource: 'azurerm_storage_account',
    rule: 'network_rules contain public IPv4 ranges of at most /30, and single addresses without a prefix length',
    refusedBy: 'plan',
    holds: ({network_rules: rules}) => textsOf(blockOf(rules).ip_rules).every(isRangeOfFirewall),
    broken: (body) => ({...body, network_rules: {default_action: 'Deny', ip_rules: ['203.0.113.7/32']}}),
  },
  {
    resource: 'azurerm_storage_account',
    rule: 'network_rules contain subnets with the Microsoft.Storage endpoint; an existing subnet must have it',
    refusedBy: 'Azure',
    holds: ({network_rules: rules}, found) =>
      textsOf(blockOf(rules).virtual_network_subnet_ids).every((id) => {
        const subnet = found.behind(id)?.body
        return subnet === undefined
          ? id.startsWith('/subscriptions/')
          : textsOf(subnet.service_endpoints).includes('Microsoft.Storage')
      }),
    broken: (body) => ({
      ...body,
      network_rules: {default_action: 'Deny', virtual_network_subnet_ids: ['${azurerm_subnet.bastion.id}']},
    }),
  },
  {
    resource: 'azurerm_storage_account',
    rule: 'settings of the data plane are absent, because the provider is configured without access to it',
    refusedBy: 'apply',
    holds: (body) => !isSet(body.queue_properties) && !isSet(body.static_website),
    broken: (body) => ({...body, static_website: {index_document: 'index.html'}}),
  },
  {
    resource: 'azurerm_storage_container',
    rule: 'it refers to its account by ID, because the account has no keys',
    refusedBy: 'apply',
    holds: (body) =>
      exactlyOne(body, 'storage_account_id', 'storage_account_name') && isSet(body.storage_account_id),
    broken: (body) => ({...body, storage_account_id: undefined, storage_account_name: 'name'}),
  },
  {
    resource: 'azurerm_storage_management_policy',
    rule: 'prefixes begin with a container of the account',
    refusedBy: 'Azure',
    holds: (body, found) =>
      blocksOf(body.rule).every((rule) =>
        textsOf(blockOf(rule.filters).prefix_match).every((prefix) =>
          found
            .of('azurerm_storage_container')
            .some(
              (container) =>
                prefix === `${textOf(container.body.name)}/` &&
                container.body.storage_account_id === body.storage_account_id,
            ),
        ),
      ),
    broken: (body) => ({...body, rule: [{filters: {prefix_match: ['logs/']}}]}),
  },
  {
    resource: 'azurerm_storage_share',
    rule: 'NFS needs a premium account of kind FileStorage that does not require HTTPS',
    refusedBy: 'Azure',
    holds: (body, found) => {
      const account = accountOf(body, found)
      return (
        body.enabled_protocol !== 'NFS' ||
        (account.account_kind === 'FileStorage' &&
          account.account_tier === 'Premium' &&
          account.https_traffic_only_enabled === false)
      )
    },
    broken: (body) => ({...body, storage_account_id: '${azurerm_storage_account.objects.id}'}),
  },
  {
    resource: 'azurerm_storage_share',
    rule: 'a share of a premium account has at least 100 GiB, and no access tier',
    refusedBy: 'apply',
    holds: (body) => numberOf(body.quota) >= 100 && !isSet(body.access_tier),
    broken: (body) => ({...body, quota: 50}),
  },
  {
    resource: 'azurerm_storage_share',
    rule: 'exactly one of storage_account_id and storage_account_name is set',
    refusedBy: 'plan',
    holds: (body) => exactlyOne(body, 'storage_account_id', 'storage_account_name'),
    broken: (body) => ({...body, storage_account_name: 'name'}),
  },
]
