import {EfsFileSystem} from '@cdktf/provider-aws/lib/efs-file-system/index.js'
import {EfsMountTarget} from '@cdktf/provider-aws/lib/efs-mount-target/index.js'
import {S3BucketLifecycleConfiguration} from '@cdktf/provider-aws/lib/s3-bucket-lifecycle-configuration/index.js'
import {S3BucketOwnershipControls} from '@cdktf/provider-aws/lib/s3-bucket-ownership-controls/index.js'
import {S3BucketPolicy} from '@cdktf/provider-aws/lib/s3-bucket-policy/index.js'
import {S3BucketPublicAccessBlock} from '@cdktf/provider-aws/lib/s3-bucket-public-access-block/index.js'
import {S3BucketServerSideEncryptionConfigurationA} from '@cdktf/provider-aws/lib/s3-bucket-server-side-encryption-configuration/index.js'
import {S3BucketVersioningA} from '@cdktf/provider-aws/lib/s3-bucket-versioning/index.js'
import {S3Bucket} from '@cdktf/provider-aws/lib/s3-bucket/index.js'
import {add, type Frame, namedWithin, tagsOf} from './frame.ts'
import type {AwsNetwork} from './network.ts'
import type {SecurityGroups} from './security.ts'
import {documentOf} from './statements.ts'

const NAME = 'checkpoints'

/** A checkpoint holds memory, so that deleted should mean gone; a backup that a node destroyed can be had back. */
const KEPT_AFTER_DELETION_DAYS = {checkpoints: 1, backups: 7}

/** The bucket of checkpoints and backups: private, encrypted, reached by TLS alone, emptied by age. */
export function bucketOf(frame: Frame): S3Bucket {
  const {aws} = frame
  const bucket = add(frame, S3Bucket, NAME, {
    // Names of buckets are unique in the world; the provider puts 26 characters behind these, up to 63 in all.
    bucketPrefix: `${namedWithin(36, frame, '')}-`,
    forceDestroy: aws.deletionPolicy === 'delete',
    tags: tagsOf(frame, NAME),
    ...(aws.deletionPolicy === 'retain' ? {lifecycle: {preventDestroy: true}} : {}),
  })
  add(frame, S3BucketPublicAccessBlock, NAME, {
    bucket: bucket.id,
    blockPublicAcls: true,
    blockPublicPolicy: true,
    ignorePublicAcls: true,
    restrictPublicBuckets: true,
  })
  add(frame, S3BucketOwnershipControls, NAME, {
    bucket: bucket.id,
    rule: {objectOwnership: 'BucketOwnerEnforced'},
  })
  add(frame, S3BucketServerSideEncryptionConfigurationA, NAME, {
    bucket: bucket.id,
    rule: [
      aws.kmsKeyId === undefined
        ? {applyServerSideEncryptionByDefault: {sseAlgorithm: 'AES256'}, bucketKeyEnabled: false}
        : {
            applyServerSideEncryptionByDefault: {sseAlgorithm: 'aws:kms', kmsMasterKeyId: aws.kmsKeyId},
            bucketKeyEnabled: true,
          },
    ],
  })
  const versioning = add(frame, S3BucketVersioningA, NAME, {
    bucket: bucket.id,
    versioningConfiguration: {status: 'Enabled'},
  })
  add(frame, S3BucketLifecycleConfiguration, NAME, {
    bucket: bucket.id,
    rule: [
      ...Object.entries(KEPT_AFTER_DELETION_DAYS).map(([id, noncurrentDays]) => ({
        id,
        status: 'Enabled',
        filter: [{prefix: `${id}/`}],
        expiration: [{days: aws.checkpointRetentionDays}],
        noncurrentVersionExpiration: [{noncurrentDays}],
      })),
      {
        // Parts of an upload that never ended cost as much as objects, and no listing shows them.
        id: 'unfinished-uploads',
        status: 'Enabled',
        filter: [{prefix: ''}],
        abortIncompleteMultipartUpload: [{daysAfterInitiation: 1}],
      },
    ],
    dependsOn: [versioning],
  })
  tlsOnly(frame, bucket)
  return bucket
}

function tlsOnly(frame: Frame, bucket: S3Bucket): void {
  const statement = {
    Sid: 'TlsOnly',
    Effect: 'Deny',
    Principal: '*',
    Action: ['s3:*'],
    Resource: [bucket.arn, `${bucket.arn}/*`],
    Condition: {Bool: {'aws:SecureTransport': 'false'}},
  } as const
  add(frame, S3BucketPolicy, NAME, {bucket: bucket.id, policy: documentOf([statement])})
}

/** A file system that every node can mount, with an address in each zone; gives its id. */
export function sharedFilesOf(frame: Frame, network: AwsNetwork, groups: SecurityGroups): string | undefined {
  const {aws} = frame
  const group = groups['shared-files']
  if (!aws.sharedFiles || group === undefined) return undefined
  const files = add(frame, EfsFileSystem, 'shared-files', {
    encrypted: true,
    ...(aws.kmsKeyId === undefined ? {} : {kmsKeyId: aws.kmsKeyId}),
    // Paid by what is read and written, instead of a rate that depends on how much is stored.
    throughputMode: 'elastic',
    tags: tagsOf(frame, 'shared-files'),
    // With another key it would be another, empty one.
    lifecycle: {
      ignoreChanges: ['kms_key_id'],
      ...(aws.deletionPolicy === 'retain' ? {preventDestroy: true} : {}),
    },
  })
  for (const [index, {nodes}] of network.zones.entries()) {
    add(frame, EfsMountTarget, `shared-files-${aws.zones[index] ?? index}`, {
      fileSystemId: files.id,
      subnetId: nodes,
      securityGroups: [group],
    })
  }
  return files.id
}
