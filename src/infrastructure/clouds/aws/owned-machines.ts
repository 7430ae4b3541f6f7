import {
  DescribeKeyPairsCommand,
  paginateDescribeInstances,
  paginateDescribeSnapshots,
  paginateDescribeVolumes,
} from '@aws-sdk/client-ec2'
import type {OwnedResource} from '../cloud.ts'
import {type AwsApi, call, gather} from './api.ts'
import {byIds, type TaggedIds, tagsOf} from './tags.ts'

/** Instances, volumes, snapshots and key pairs. */
export async function ownedMachines(
  api: AwsApi,
  ids: TaggedIds,
  signal: AbortSignal,
): Promise<readonly OwnedResource[]> {
  return [
    ...(await instances(api, ids, signal)),
    ...(await volumes(api, ids, signal)),
    ...(await snapshots(api, ids, signal)),
    ...(await keyPairs(api, ids, signal)),
  ]
}

async function instances(
  api: AwsApi,
  ids: TaggedIds,
  signal: AbortSignal,
): Promise<readonly OwnedResource[]> {
  const owners = ids.get('i')
  if (owners === undefined) return []
  const reservations = await gather(
    'ec2:DescribeInstances',
    signal,
    paginateDescribeInstances({client: api.ec2}, byIds('instance-id', owners), {abortSignal: signal}),
    (page) => page.Reservations,
  )
  return reservations
    .flatMap(({Instances: all}) => all ?? [])
    .filter(({State: state}) => state?.Name !== 'terminated')
    .map((instance): OwnedResource => {
      const id = instance.InstanceId ?? ''
      const createdAt = instance.LaunchTime?.toISOString()
      return {
        id,
        kind: 'machine',
        region: api.region,
        name: tagsOf(instance.Tags)['Name'] ?? id,
        ...(createdAt === undefined ? {} : {createdAt}),
        madeBy: owners.get(id) ?? 'clouder',
        holdsData: false,
        ...(instance.InstanceType === undefined ? {} : {type: instance.InstanceType}),
      }
    })
}

async function volumes(api: AwsApi, ids: TaggedIds, signal: AbortSignal): Promise<readonly OwnedResource[]> {
  const owners = ids.get('vol')
  if (owners === undefined) return []
  const all = await gather(
    'ec2:DescribeVolumes',
    signal,
    paginateDescribeVolumes({client: api.ec2}, byIds('volume-id', owners), {abortSignal: signal}),
    (page) => page.Volumes,
  )
  return all
    .filter((volume) => !goesWithItsMachine(volume))
    .map((volume): OwnedResource => {
      const id = volume.VolumeId ?? ''
      const createdAt = volume.CreateTime?.toISOString()
      return {
        id,
        kind: 'volume',
        region: api.region,
        name: tagsOf(volume.Tags)['kubernetes.io/created-for/pvc/name'] ?? tagsOf(volume.Tags)['Name'] ?? id,
        ...(createdAt === undefined ? {} : {createdAt}),
        madeBy: owners.get(id) ?? 'clouder',
        holdsData: true,
        sizeGiB: volume.Size ?? 0,
        type: volume.VolumeType ?? 'gp3',
      }
    })
}

/** A machine's own disk: named by its machine already. */
const goesWithItsMachine = ({
  Attachments: attachments,
}: {
  readonly Attachments?: readonly {readonly DeleteOnTermination?: boolean | undefined}[] | undefined
}): boolean => (attachments ?? []).some(({DeleteOnTermination: goes}) => goes === true)

async function snapshots(
  api: AwsApi,
  ids: TaggedIds,
  signal: AbortSignal,
): Promise<readonly OwnedResource[]> {
  const owners = ids.get('snap')
  if (owners === undefined) return []
  const all = await gather(
    'ec2:DescribeSnapshots',
    signal,
    paginateDescribeSnapshots(
      {client: api.ec2},
      {OwnerIds: ['self'], ...byIds('snapshot-id', owners)},
      {abortSignal: signal},
    ),
    (page) => page.Snapshots,
  )
  return all.map((snapshot): OwnedResource => {
    const id = snapshot.SnapshotId ?? ''
    const createdAt = snapshot.StartTime?.toISOString()
    return {
      id,
      kind: 'snapshot',
      region: api.region,
      name: tagsOf(snapshot.Tags)['Name'] ?? id,
      ...(createdAt === undefined ? {} : {createdAt}),
      madeBy: owners.get(id) ?? 'clouder',
      holdsData: true,
      sizeGiB: snapshot.VolumeSize ?? 0,
      type: 'snapshot',
    }
  })
}

async function keyPairs(api: AwsApi, ids: TaggedIds, signal: AbortSignal): Promise<readonly OwnedResource[]> {
  const owners = ids.get('key')
  if (owners === undefined) return []
  const answer = await call('ec2:DescribeKeyPairs', signal, (options) =>
    api.ec2.send(new DescribeKeyPairsCommand(byIds('key-pair-id', owners)), options),
  )
  return (answer.KeyPairs ?? []).map((pair): OwnedResource => {
    const id = pair.KeyPairId ?? ''
    return {
      id,
      kind: 'key-pair',
      region: api.region,
      name: pair.KeyName ?? id,
      madeBy: owners.get(id) ?? 'clouder',
      holdsData: false,
    }
  })
}
