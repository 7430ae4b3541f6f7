import type {GenericResourceExpanded, ResourceGroup} from '@azure/arm-resources'
import {InfrastructureError} from '../../errors.ts'
import {CLUSTER_TAG, type OwnedKind, type OwnedResource} from '../cloud.ts'
import {removalOrder} from '../removal-order.ts'
import {type AzureApi, call, gather, partsOf, pathOf} from './api.ts'
import {azureAnswer} from './errors.ts'

const KINDS: Readonly<Record<string, OwnedKind>> = {
  'microsoft.compute/virtualmachines': 'machine',
  'microsoft.compute/virtualmachinescalesets': 'machine',
  'microsoft.compute/disks': 'volume',
  'microsoft.compute/snapshots': 'snapshot',
  'microsoft.network/loadbalancers': 'load-balancer',
  'microsoft.network/publicipaddresses': 'address',
  'microsoft.network/networkinterfaces': 'network-interface',
  'microsoft.network/networksecuritygroups': 'security-group',
  'microsoft.network/natgateways': 'nat-gateway',
  'microsoft.network/routetables': 'route-table',
  'microsoft.network/virtualnetworks': 'network',
  'microsoft.managedidentity/userassignedidentities': 'role',
  'microsoft.storage/storageaccounts': 'bucket',
}

/** Tags that the cloud provider and the CSI drivers put on what they make. */
const CONTROLLER_TAGS = ['k8s-azure-cluster-name', 'kubernetes-cluster-name']
/** Disk and File CSI say which claim a disk or share was made for. */
const CLAIM_TAG = /^(kubernetes\.io-created-for-pvc-name|k8s-azure-created-by)$/

/**
 * Everything of the cluster in the subscription: what carries its tag, and all that is in a resource group that was
 * made for it, since what controllers make there need not carry anything. Their own tags hold a cluster's name alone,
 * which whoever else runs one of that name has too: they count beside something of ours.
 */
export async function azureOwned(
  api: AzureApi,
  cluster: string,
  signal: AbortSignal,
): Promise<readonly OwnedResource[]> {
  const groups = await gather(
    'Microsoft.Resources/subscriptions/resourceGroups/read',
    signal,
    api.resources.resourceGroups.list({filter: tagIs(CLUSTER_TAG.azure, cluster), abortSignal: signal}),
  )
  const found = new Map<string, GenericResourceExpanded>()
  const keep = (all: readonly GenericResourceExpanded[]): void => {
    for (const each of all) if (each.id !== undefined) found.set(each.id.toLowerCase(), each)
  }
  for (const {name} of groups) {
    if (name === undefined) continue
    const inGroup = api.resources.resources.listByResourceGroup(name, {
      expand: 'createdTime',
      abortSignal: signal,
    })
    keep(await gather('Microsoft.Resources/subscriptions/resourceGroups/resources/read', signal, inGroup))
  }
  const tagged = (tag: string) =>
    gather(
      'Microsoft.Resources/subscriptions/resources/read',
      signal,
      api.resources.resources.list({
        filter: tagIs(tag, cluster),
        expand: 'createdTime',
        abortSignal: signal,
      }),
    )
  keep(await tagged(CLUSTER_TAG.azure))
  const where = new Set([...found.keys()].map(groupOf))
  for (const tag of CONTROLLER_TAGS)
    keep((await tagged(tag)).filter(({id = ''}) => where.has(groupOf(id.toLowerCase()))))
  return [
    ...[...found.values()].map((resource) => ownedOf(resource, cluster)),
    ...groups.map((group) => ownedGroup(group)),
  ].toSorted((a, b) => removalOrder(a.kind) - removalOrder(b.kind))
}

const groupOf = (id: string): string | undefined => partsOf(id)?.group

const tagIs = (tag: string, value: string): string => `tagName eq '${tag}' and tagValue eq '${value}'`

function ownedOf(resource: GenericResourceExpanded, cluster: string): OwnedResource {
  const type = (resource.type ?? '').toLowerCase()
  const kind = KINDS[type] ?? 'other'
  const tags = Object.keys(resource.tags ?? {})
  const isClaimed = tags.some((tag) => CLAIM_TAG.test(tag))
  const createdAt = resource.createdTime?.toISOString()
  const priced = resource.sku?.name ?? (kind === 'load-balancer' ? 'Standard' : undefined)
  return {
    id: resource.id ?? '',
    kind,
    region: resource.location ?? '',
    name: resource.name ?? '',
    ...(createdAt === undefined ? {} : {createdAt}),
    madeBy: resource.tags?.[CLUSTER_TAG.azure] === cluster ? 'clouder' : 'controller',
    // The disk of a machine holds its system; that of a claim, somebody's data.
    holdsData: kind === 'volume' ? isClaimed : kind === 'snapshot' || kind === 'bucket',
    ...(priced === undefined ? {} : {type: priced}),
  }
}

function ownedGroup({id = '', name = '', location}: ResourceGroup): OwnedResource {
  return {id, kind: 'resource-group', region: location, name, madeBy: 'clouder', holdsData: false}
}

/** Names of the clusters that own a resource or a resource group in this subscription. */
export async function azureClusters(api: AzureApi, signal: AbortSignal): Promise<readonly string[]> {
  const filter = `tagName eq '${CLUSTER_TAG.azure}'`
  const groups = await gather(
    'Microsoft.Resources/subscriptions/resourceGroups/read',
    signal,
    api.resources.resourceGroups.list({filter, abortSignal: signal}),
  )
  const resources = await gather(
    'Microsoft.Resources/subscriptions/resources/read',
    signal,
    api.resources.resources.list({filter, abortSignal: signal}),
  )
  const names = [...groups, ...resources].map(({tags}) => tags?.[CLUSTER_TAG.azure] ?? '')
  return [...new Set(names)].filter((name) => name !== '').sort()
}

/** Removes one thing; a resource group only when nothing is left in it, since it would take that with it. */
export async function azureRemove(
  api: AzureApi,
  {kind, id, name}: OwnedResource,
  signal: AbortSignal,
): Promise<'removed' | 'busy'> {
  try {
    if (kind === 'resource-group') return await removeGroup(api, name, signal)
    const version = await apiVersionOf(api, id, signal)
    await call(`${partsOf(id)?.type ?? id}/delete`, signal, () =>
      api.resources.resources.beginDeleteById(pathOf(id), version, {abortSignal: signal}),
    )
    return 'removed'
  } catch (error) {
    const answer = error instanceof InfrastructureError ? azureAnswer(error.cause) : undefined
    if (answer?.status === 404) return 'removed'
    if (answer !== undefined && isBusy(answer)) return 'busy'
    throw error
  }
}

/** Conflicts, and the 400s by which the network says that something still uses a thing. */
const isBusy = ({status, code}: {readonly status: number; readonly code: string}): boolean =>
  status === 409 || (status === 400 && /InUse|CannotBeDeleted|OperationNotAllowed|AttachedTo/i.test(code))

async function removeGroup(api: AzureApi, name: string, signal: AbortSignal): Promise<'removed' | 'busy'> {
  const left = await gather(
    'Microsoft.Resources/subscriptions/resourceGroups/resources/read',
    signal,
    api.resources.resources.listByResourceGroup(name, {abortSignal: signal}),
  )
  if (left.length > 0) return 'busy'
  await call('Microsoft.Resources/subscriptions/resourceGroups/delete', signal, () =>
    api.resources.resourceGroups.beginDelete(name, {abortSignal: signal}),
  )
  return 'removed'
}

/** The newest version of the API that the kind of a resource has; every kind has its own. */
async function apiVersionOf(api: AzureApi, id: string, signal: AbortSignal): Promise<string> {
  const [namespace = '', kind = ''] = (partsOf(id)?.type ?? '').split('/')
  const provider = await call(`${namespace}/read`, signal, () =>
    api.resources.providers.get(namespace, {abortSignal: signal}),
  )
  const type = provider.resourceTypes?.find(
    ({resourceType}) => resourceType?.toLowerCase() === kind.toLowerCase(),
  )
  const versions = (type?.apiVersions ?? []).toSorted().reverse()
  const version = versions.find((each) => !each.includes('preview')) ?? versions[0]
  if (version === undefined) {
    const what = `Azure lists no API version for ${namespace}/${kind}, the type of ${id}`
    throw new InfrastructureError('CLOUD_FAILED', what)
  }
  return version
}
