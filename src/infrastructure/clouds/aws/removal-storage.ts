import {
  DeleteAccessPointCommand,
  DeleteFileSystemCommand,
  DeleteMountTargetCommand,
  DescribeMountTargetsCommand,
  paginateDescribeAccessPoints,
} from '@aws-sdk/client-efs'
import {
  AbortMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
} from '@aws-sdk/client-s3'
import {InfrastructureError} from '../../errors.ts'
import {type AwsApi, call, gather} from './api.ts'

/** With its mount targets, which take a while to go, and access points. */
export async function removeFileSystem({efs}: AwsApi, id: string, signal: AbortSignal): Promise<void> {
  const system = {FileSystemId: id}
  const targets = await call('elasticfilesystem:DescribeMountTargets', signal, (options) =>
    efs.send(new DescribeMountTargetsCommand(system), options),
  )
  for (const {MountTargetId: target, LifeCycleState: state} of targets.MountTargets ?? []) {
    if (state === 'deleting' || state === 'deleted') continue
    await call('elasticfilesystem:DeleteMountTarget', signal, (options) =>
      efs.send(new DeleteMountTargetCommand({MountTargetId: target}), options),
    )
  }
  const points = await gather(
    'elasticfilesystem:DescribeAccessPoints',
    signal,
    paginateDescribeAccessPoints({client: efs}, system, {abortSignal: signal}),
    (page) => page.AccessPoints,
  )
  for (const {AccessPointId: point} of points) {
    await call('elasticfilesystem:DeleteAccessPoint', signal, (options) =>
      efs.send(new DeleteAccessPointCommand({AccessPointId: point}), options),
    )
  }
  await call('elasticfilesystem:DeleteFileSystem', signal, (options) =>
    efs.send(new DeleteFileSystemCommand(system), options),
  )
}

/** With every version of every object in it, and uploads that never ended. */
export async function removeBucket({s3}: AwsApi, id: string, signal: AbortSignal): Promise<void> {
  const bucket = {Bucket: id}
  for (;;) {
    const page = await call('s3:ListBucketVersions', signal, (options) =>
      s3.send(new ListObjectVersionsCommand(bucket), options),
    )
    const objects = [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])].flatMap(
      ({Key: key, VersionId: version}) => (key === undefined ? [] : [{Key: key, VersionId: version}]),
    )
    if (objects.length === 0) break
    const answer = await call('s3:DeleteObjectVersion', signal, (options) =>
      s3.send(new DeleteObjectsCommand({...bucket, Delete: {Objects: objects, Quiet: true}}), options),
    )
    const [refused] = answer.Errors ?? []
    if (refused === undefined) continue
    const why = `${refused.Code ?? ''} ${refused.Message ?? ''}`.trim()
    throw new InfrastructureError(
      'CLOUD_REFUSED',
      `AWS failed to delete ${refused.Key ?? ''} in bucket ${id}: ${why}`,
    )
  }
  const uploads = await call('s3:ListBucketMultipartUploads', signal, (options) =>
    s3.send(new ListMultipartUploadsCommand(bucket), options),
  )
  for (const {Key: key, UploadId: upload} of uploads.Uploads ?? []) {
    await call('s3:AbortMultipartUpload', signal, (options) =>
      s3.send(new AbortMultipartUploadCommand({...bucket, Key: key, UploadId: upload}), options),
    )
  }
  await call('s3:DeleteBucket', signal, (options) => s3.send(new DeleteBucketCommand(bucket), options))
}
