import {
  DescribeTagsCommand as DescribeClassicTags,
  paginateDescribeLoadBalancers as paginateClassic,
} from '@aws-sdk/client-elastic-load-balancing'
import {
  DescribeTagsCommand,
  paginateDescribeLoadBalancers,
  paginateDescribeTargetGroups,
} from '@aws-sdk/client-elastic-load-balancing-v2'
import type {OwnedResource} from '../cloud.ts'
import {type AwsApi, call, gather} from './api.ts'
import {type OwnerOf, type Tags, tagsOf} from './tags.ts'

/** As many names as one question about tags may have. */
const TAGS_AT_ONCE = 20

/** Load balancers, those of the first kind too, and target groups. They cannot be looked up by tag. */
export async function ownedBalancers(
  api: AwsApi,
  owner: OwnerOf,
  signal: AbortSignal,
): Promise<readonly OwnedResource[]> {
  return [
    ...(await classicBalancers(api, owner, signal)),
    ...(await balancers(api, owner, signal)),
    ...(await targetGroups(api, owner, signal)),
  ]
}

async function balancers(
  api: AwsApi,
  owner: OwnerOf,
  signal: AbortSignal,
): Promise<readonly OwnedResource[]> {
  const all = await gather(
    'elasticloadbalancing:DescribeLoadBalancers',
    signal,
    paginateDescribeLoadBalancers({client: api.elbv2}, {}, {abortSignal: signal}),
    (page) => page.LoadBalancers,
  )
  const tags = await tagsByArn(
    api,
    all.flatMap(({LoadBalancerArn: arn}) => arn ?? []),
    signal,
  )
  return all.flatMap((balancer): readonly OwnedResource[] => {
    const id = balancer.LoadBalancerArn ?? ''
    const madeBy = owner(tags.get(id) ?? {})
    if (madeBy === undefined) return []
    const createdAt = balancer.CreatedTime?.toISOString()
    return [
      {
        id,
        kind: 'load-balancer',
        region: api.region,
        name: balancer.LoadBalancerName ?? id,
        ...(createdAt === undefined ? {} : {createdAt}),
        madeBy,
        holdsData: false,
        type: balancer.Type ?? 'network',
      },
    ]
  })
}

async function targetGroups(
  api: AwsApi,
  owner: OwnerOf,
  signal: AbortSignal,
): Promise<readonly OwnedResource[]> {
  const all = await gather(
    'elasticloadbalancing:DescribeTargetGroups',
    signal,
    paginateDescribeTargetGroups({client: api.elbv2}, {}, {abortSignal: signal}),
    (page) => page.TargetGroups,
  )
  const tags = await tagsByArn(
    api,
    all.flatMap(({TargetGroupArn: arn}) => arn ?? []),
    signal,
  )
  return all.flatMap((group): readonly OwnedResource[] => {
    const id = group.TargetGroupArn ?? ''
    const madeBy = owner(tags.get(id) ?? {})
    if (madeBy === undefined) return []
    const name = group.TargetGroupName ?? id
    return [{id, kind: 'target-group', region: api.region, name, madeBy, holdsData: false}]
  })
}

async function tagsByArn(
  api: AwsApi,
  arns: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Tags>> {
  const found = new Map<string, Tags>()
  for (const some of chunks(arns, TAGS_AT_ONCE)) {
    const answer = await call('elasticloadbalancing:DescribeTags', signal, (options) =>
      api.elbv2.send(new DescribeTagsCommand({ResourceArns: [...some]}), options),
    )
    for (const {ResourceArn: arn, Tags: tags} of answer.TagDescriptions ?? [])
      found.set(arn ?? '', tagsOf(tags))
  }
  return found
}

async function classicBalancers(
  api: AwsApi,
  owner: OwnerOf,
  signal: AbortSignal,
): Promise<readonly OwnedResource[]> {
  const all = await gather(
    'elasticloadbalancing:DescribeLoadBalancers',
    signal,
    paginateClassic({client: api.elb}, {}, {abortSignal: signal}),
    (page) => page.LoadBalancerDescriptions,
  )
  const created = new Map(all.map((each) => [each.LoadBalancerName ?? '', each.CreatedTime?.toISOString()]))
  const found: OwnedResource[] = []
  for (const some of chunks([...created.keys()], TAGS_AT_ONCE)) {
    const answer = await call('elasticloadbalancing:DescribeTags', signal, (options) =>
      api.elb.send(new DescribeClassicTags({LoadBalancerNames: [...some]}), options),
    )
    for (const {LoadBalancerName: name = '', Tags: tags} of answer.TagDescriptions ?? []) {
      const madeBy = owner(tagsOf(tags))
      if (madeBy === undefined) continue
      const createdAt = created.get(name)
      found.push({
        id: name,
        kind: 'load-balancer',
        region: api.region,
        name,
        ...(createdAt === undefined ? {} : {createdAt}),
        madeBy,
        holdsData: false,
        type: 'classic',
      })
    }
  }
  return found
}

function chunks<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({length: Math.ceil(items.length / size)}, (_, at) =>
    items.slice(at * size, (at + 1) * size),
  )
}
