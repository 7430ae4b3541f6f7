import {paginateDescribeTags} from '@aws-sdk/client-ec2'
import {paginateGetResources} from '@aws-sdk/client-resource-groups-tagging-api'
import {CLUSTER_TAG, type OwnedKind, type OwnedResource} from '../cloud.ts'
import {removalOrder} from '../removal-order.ts'
import {type AwsApi, gather} from './api.ts'
import {ownedBalancers} from './owned-balancers.ts'
import {ownedIdentities} from './owned-identities.ts'
import {ownedMachines} from './owned-machines.ts'
import {ownedNetworks} from './owned-networks.ts'
import {ownedStorage} from './owned-storage.ts'
import {controllerTags, ownerIn, type TaggedIds, tagsOf} from './tags.ts'

/** Everything of the cluster in this account and region, in the order to remove it. */
export async function awsOwned(
  api: AwsApi,
  cluster: string,
  signal: AbortSignal,
): Promise<readonly OwnedResource[]> {
  const ids = await taggedIds(api, cluster, signal)
  const owner = ownerIn(cluster)
  const found = [
    ...(await ownedBalancers(api, owner, signal)),
    ...(await ownedMachines(api, ids, signal)),
    ...(await ownedNetworks(api, ids, signal)),
    ...(await ownedStorage(api, cluster, owner, signal)),
    ...(await ownedIdentities(api, cluster, owner, signal)),
  ]
  return withoutStrangers(found).toSorted((a, b) => removalOrder(a.kind) - removalOrder(b.kind))
}

/** What controllers in a cluster make; everything else of a cluster of ours carries our own tag. */
const BY_CONTROLLERS: ReadonlySet<OwnedKind> = new Set<OwnedKind>([
  'load-balancer',
  'target-group',
  'security-group',
  'network-interface',
  'address',
  'volume',
  'snapshot',
  'file-system',
])

/**
 * The tags of controllers hold a cluster's name alone, and whoever else runs a cluster of that name in the account
 * has them too. Its nodes show it: then only what carries our own tag is ours.
 */
function withoutStrangers(found: readonly OwnedResource[]): readonly OwnedResource[] {
  const hasNamesake = found.some(({kind, madeBy}) => kind === 'machine' && madeBy === 'controller')
  return found.filter(({kind, madeBy}) => madeBy === 'clouder' || (!hasNamesake && BY_CONTROLLERS.has(kind)))
}

/** What EC2 says carries the cluster's tags: one question for each tag, whatever the kind. */
async function taggedIds(api: AwsApi, cluster: string, signal: AbortSignal): Promise<TaggedIds> {
  const wanted = [
    ...Object.entries(controllerTags(cluster)).map(([key, value]) => ({
      key,
      value,
      by: 'controller' as const,
    })),
    {key: CLUSTER_TAG.aws, value: cluster, by: 'clouder' as const},
  ]
  const found = new Map<string, Map<string, OwnedResource['madeBy']>>()
  for (const {key, value, by} of wanted) {
    const filters = [
      {Name: 'key', Values: [key]},
      {Name: 'value', Values: [value]},
    ]
    const tags = await gather(
      'ec2:DescribeTags',
      signal,
      paginateDescribeTags({client: api.ec2}, {Filters: filters}, {abortSignal: signal}),
      (page) => page.Tags,
    )
    for (const {ResourceId: id = ''} of tags) {
      const [prefix = ''] = id.split('-')
      const ofKind = found.get(prefix) ?? new Map<string, OwnedResource['madeBy']>()
      found.set(prefix, ofKind.set(id, by))
    }
  }
  return found
}

/** Names of the clusters that own something in this region. */
export async function awsClusters(api: AwsApi, signal: AbortSignal): Promise<readonly string[]> {
  const resources = await gather(
    'tag:GetResources',
    signal,
    paginateGetResources(
      {client: api.tagging},
      {TagFilters: [{Key: CLUSTER_TAG.aws}]},
      {abortSignal: signal},
    ),
    (page) => page.ResourceTagMappingList,
  )
  const names = resources.map(({Tags: tags}) => tagsOf(tags)[CLUSTER_TAG.aws] ?? '')
  return [...new Set(names)].filter((name) => name !== '').sort()
}
