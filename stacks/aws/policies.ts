import {loadBalancers} from './balancer-policy.ts'
import type {Frame, NodeRole} from './frame.ts'
import {allow, arn, type Condition, EVERYTHING, madeAsOwned, onOwned, type Statement} from './statements.ts'

/** One managed policy and the roles of nodes that have it. */
export interface RolePolicy {
  readonly name: string
  readonly roles: readonly NodeRole[]
  readonly statements: readonly Statement[]
}

/**
 * What nodes may do in the account. The controllers that make volumes and load balancers are to run on the control
 * planes: workers, where anybody's pods run, get nothing but the objects of checkpoints, and cannot delete those. What
 * can be limited to resources with the tag of this cluster is; the look-ups that are not know no such limit.
 */
export function rolePolicies(frame: Frame, bucketArn: string): readonly RolePolicy[] {
  const {aws} = frame
  const everyNode: readonly NodeRole[] = ['control-plane', 'worker']
  const controlPlane: readonly NodeRole[] = ['control-plane']
  const policies: readonly RolePolicy[] = [
    {name: 'cloud-provider', roles: controlPlane, statements: [cloudProvider()]},
    {name: 'volumes', roles: controlPlane, statements: volumes(frame)},
    {name: 'load-balancers', roles: controlPlane, statements: loadBalancers(frame)},
    {name: 'checkpoints', roles: everyNode, statements: checkpoints(frame, bucketArn)},
    {name: 'checkpoint-deletion', roles: controlPlane, statements: [checkpointDeletion(bucketArn)]},
    {name: 'backups', roles: controlPlane, statements: backups(bucketArn)},
  ]
  return [
    ...policies,
    ...(aws.sharedFiles ? [{name: 'shared-files', roles: controlPlane, statements: sharedFiles(frame)}] : []),
    ...(aws.bastion === 'ssm' && aws.network.mode === 'private'
      ? [{name: 'session-manager', roles: everyNode, statements: sessions(frame)}]
      : []),
  ]
}

/** Who may become a role: machines of EC2. */
export function machinesMayAssume({partition}: Frame): string {
  const suffix = partition === 'aws-cn' ? 'amazonaws.com.cn' : 'amazonaws.com'
  const statement = {Effect: 'Allow', Principal: {Service: `ec2.${suffix}`}, Action: 'sts:AssumeRole'}
  return JSON.stringify({Version: '2012-10-17', Statement: [statement]})
}

/** Node and zone of a machine; services are left to the load balancer controller. */
const cloudProvider = (): Statement =>
  allow(
    'LookUpMachines',
    [
      'ec2:DescribeInstances',
      'ec2:DescribeInstanceTopology',
      'ec2:DescribeRegions',
      'ec2:DescribeAvailabilityZones',
    ],
    EVERYTHING,
  )

/** For the EBS CSI driver, which must be told to tag with the name of the cluster (`--k8s-tag-cluster-id`). */
function volumes(frame: Frame): readonly Statement[] {
  const volume = arn(frame, 'ec2', 'volume/*')
  // Snapshots belong to no account in their ARN.
  const snapshot = `arn:${frame.partition}:ec2:${frame.region}::snapshot/*`
  const instance = arn(frame, 'ec2', 'instance/*')
  return [
    allow(
      'LookUpVolumes',
      [
        'ec2:DescribeAvailabilityZones',
        'ec2:DescribeInstances',
        'ec2:DescribeSnapshots',
        'ec2:DescribeTags',
        'ec2:DescribeVolumes',
        'ec2:DescribeVolumesModifications',
        'ec2:DescribeVolumeStatus',
      ],
      EVERYTHING,
    ),
    allow('MakeVolumes', ['ec2:CreateVolume'], volume, madeAsOwned(frame)),
    allow('ReadSnapshots', ['ec2:CreateVolume'], snapshot, onOwned(frame)),
    allow('ReadVolumes', ['ec2:CreateSnapshot'], volume, onOwned(frame)),
    allow('MakeSnapshots', ['ec2:CreateSnapshot'], snapshot, madeAsOwned(frame)),
    allow('TagWhatIsMade', ['ec2:CreateTags'], [volume, snapshot], {
      StringEquals: {'ec2:CreateAction': ['CreateVolume', 'CreateSnapshot']},
    }),
    allow('AttachVolumes', ['ec2:AttachVolume', 'ec2:DetachVolume'], [volume, instance], onOwned(frame)),
    allow('ChangeVolumes', ['ec2:ModifyVolume', 'ec2:DeleteVolume'], volume, onOwned(frame)),
    allow('DeleteSnapshots', ['ec2:DeleteSnapshot'], snapshot, onOwned(frame)),
    ...keyForVolumes(frame),
  ]
}

function keyForVolumes(frame: Frame): readonly Statement[] {
  const key = frame.aws.kmsKeyId
  if (key === undefined) return []
  const use = [
    'kms:Decrypt',
    'kms:DescribeKey',
    'kms:Encrypt',
    'kms:GenerateDataKeyWithoutPlaintext',
    'kms:ReEncryptFrom',
    'kms:ReEncryptTo',
  ]
  return [
    allow('UseKeyOfVolumes', use, key),
    allow('LendKeyToVolumes', ['kms:CreateGrant'], key, {Bool: {'kms:GrantIsForAWSResource': 'true'}}),
  ]
}

/** Objects of checkpoints, which every node writes and reads. */
function checkpoints(frame: Frame, bucketArn: string): readonly Statement[] {
  const key = frame.aws.kmsKeyId
  return [
    allow('FindBucket', ['s3:GetBucketLocation'], bucketArn),
    allow('ListCheckpoints', ['s3:ListBucket'], bucketArn, {StringLike: {'s3:prefix': 'checkpoints/*'}}),
    allow('UseCheckpoints', KEEP_OBJECTS, `${bucketArn}/checkpoints/*`),
    ...(key === undefined ? [] : [allow('UseKeyOfBucket', ['kms:Decrypt', 'kms:GenerateDataKey'], key)]),
  ]
}

/** For the controller of checkpoints, which runs on control planes: it alone deletes what a bucket keeps. */
const checkpointDeletion = (bucketArn: string): Statement =>
  allow('DeleteCheckpoints', ['s3:DeleteObject'], `${bucketArn}/checkpoints/*`)

/** Backups are written and read; that they end is left to the bucket, so that no node can destroy them. */
function backups(bucketArn: string): readonly Statement[] {
  return [
    allow('ListBackups', ['s3:ListBucket'], bucketArn, {StringLike: {'s3:prefix': 'backups/*'}}),
    allow('KeepBackups', KEEP_OBJECTS, `${bucketArn}/backups/*`),
  ]
}

const KEEP_OBJECTS = [
  's3:AbortMultipartUpload',
  's3:GetObject',
  's3:ListMultipartUploadParts',
  's3:PutObject',
]

/** For the EFS CSI driver; access points carry the tag that it gives them, file systems ours. */
function sharedFiles(frame: Frame): readonly Statement[] {
  const point = arn(frame, 'elasticfilesystem', 'access-point/*')
  const files = arn(frame, 'elasticfilesystem', 'file-system/*')
  const byDriver = {'efs.csi.aws.com/cluster': 'true'}
  const tagged = (where: 'RequestTag' | 'ResourceTag'): Condition => ({
    StringEquals: Object.fromEntries(
      Object.entries(byDriver).map(([key, value]) => [`aws:${where}/${key}`, value]),
    ),
  })
  return [
    allow('LookUpZones', ['ec2:DescribeAvailabilityZones'], EVERYTHING),
    allow(
      'LookUpFileSystems',
      [
        'elasticfilesystem:DescribeAccessPoints',
        'elasticfilesystem:DescribeFileSystems',
        'elasticfilesystem:DescribeMountTargets',
      ],
      [files, point],
    ),
    allow('MakeAccessPoints', ['elasticfilesystem:CreateAccessPoint'], files, onOwned(frame)),
    allow('TagAccessPoints', ['elasticfilesystem:TagResource'], point, tagged('RequestTag')),
    allow('DeleteAccessPoints', ['elasticfilesystem:DeleteAccessPoint'], point, tagged('ResourceTag')),
  ]
}

/** What the agent needs for sessions; channels know no limit by resource. */
const sessions = (frame: Frame): readonly Statement[] => [
  allow('TellOfMachine', ['ssm:UpdateInstanceInformation'], arn(frame, 'ec2', 'instance/*')),
  allow(
    'HoldSessions',
    [
      'ssmmessages:CreateControlChannel',
      'ssmmessages:CreateDataChannel',
      'ssmmessages:OpenControlChannel',
      'ssmmessages:OpenDataChannel',
    ],
    EVERYTHING,
  ),
]
