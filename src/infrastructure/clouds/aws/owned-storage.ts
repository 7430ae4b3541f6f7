import {paginateDescribeFileSystems} from '@aws-sdk/client-efs'
import {GetResourcesCommand} from '@aws-sdk/client-resource-groups-tagging-api'
import {CLUSTER_TAG, type OwnedResource} from '../cloud.ts'
import {type AwsApi, call, gather} from './api.ts'
import {type OwnerOf, tagsOf} from './tags.ts'

/** File systems and buckets. */
export async function ownedStorage(
  api: AwsApi,
  cluster: string,
  owner: OwnerOf,
  signal: AbortSignal,
): Promise<readonly OwnedResource[]> {
  const systems = await gather(
    'elasticfilesystem:DescribeFileSystems',
    signal,
    paginateDescribeFileSystems({client: api.efs}, {}, {abortSignal: signal}),
    (page) => page.FileSystems,
  )
  const files = systems.flatMap((system): readonly OwnedResource[] => {
    const madeBy = owner(tagsOf(system.Tags))
    if (madeBy === undefined || system.LifeCycleState === 'deleted') return []
    const id = system.FileSystemId ?? ''
    const createdAt = system.CreationTime?.toISOString()
    return [
      {
        id,
        kind: 'file-system',
        region: api.region,
        name: system.Name ?? id,
        ...(createdAt === undefined ? {} : {createdAt}),
        madeBy,
        holdsData: true,
        sizeGiB: Math.ceil((system.SizeInBytes?.Value ?? 0) / 1024 ** 3),
        type: 'efs',
      },
    ]
  })
  const arns = await taggedArns(api, cluster, 's3', signal)
  const buckets = arns.map((arn): OwnedResource => {
    const name = arn.replace(/^arn:[^:]*:s3:::/, '')
    return {
      id: name,
      kind: 'bucket',
      region: api.region,
      name,
      madeBy: 'clouder',
      holdsData: true,
      type: 's3',
    }
  })
  return [...files, ...buckets]
}

/** ARNs of one service that carry the cluster's tag. */
async function taggedArns(
  api: AwsApi,
  cluster: string,
  service: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const answer = await call('tag:GetResources', signal, (options) =>
    api.tagging.send(
      new GetResourcesCommand({
        TagFilters: [{Key: CLUSTER_TAG.aws, Values: [cluster]}],
        ResourceTypeFilters: [service],
      }),
      options,
    ),
  )
  return (answer.ResourceTagMappingList ?? []).flatMap(({ResourceARN: arn}) => arn ?? [])
}
