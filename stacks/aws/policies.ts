import type {Frame, NodeRole} from './frame.ts'

type Condition = Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>

export interface Statement {
  readonly Sid: string
  readonly Effect: 'Allow' | 'Deny'
  readonly Principal?: unknown
  readonly Action: readonly string[]
  readonly Resource: string | readonly string[]
  readonly Condition?: Condition
}

/** One managed policy and the roles of nodes that have it. */
export interface RolePolicy {
  readonly name: string
  readonly roles: readonly NodeRole[]
  readonly statements: readonly Statement[]
}

const EVERYTHING = '*'

/**
 * What nodes may do in the account. The controllers that make volumes and load balancers are to run on the control
 * planes: workers, where anybody's pods run, get nothing but the objects of checkpoints. What can be limited to
 * resources with the tag of this cluster is; the look-ups that are not know no such limit.
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
    {name: 'backups', roles: controlPlane, statements: backups(bucketArn)},
  ]
  return [
    ...policies,
    ...(aws.sharedFiles ? [{name: 'shared-files', roles: controlPlane, statements: sharedFiles(frame)}] : []),
    ...(aws.bastion === 'ssm' ? [{name: 'session-manager', roles: everyNode, statements: [sessions()]}] : []),
  ]
}

/** The document as IAM takes it; references inside it are left to Terraform. */
export function documentOf(statements: readonly Statement[]): string {
  return JSON.stringify({Version: '2012-10-17', Statement: statements})
}

/** Who may become a role: machines of EC2. */
export function machinesMayAssume({partition}: Frame): string {
  const suffix = partition === 'aws-cn' ? 'amazonaws.com.cn' : 'amazonaws.com'
  const statement = {Effect: 'Allow', Principal: {Service: `ec2.${suffix}`}, Action: 'sts:AssumeRole'}
  return JSON.stringify({Version: '2012-10-17', Statement: [statement]})
}

const allow = (
  Sid: string,
  Action: readonly string[],
  Resource: string | readonly string[],
  Condition?: Condition,
): Statement => ({Sid, Effect: 'Allow', Action, Resource, ...(Condition === undefined ? {} : {Condition})})

const arn = ({partition, region}: Frame, service: string, resource: string): string =>
  `arn:${partition}:${service}:${region}:*:${resource}`

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

const ownedTag = ({spec}: Frame): string => `kubernetes.io/cluster/${spec.name}`
const onOwned = (frame: Frame): Condition => ({
  StringEquals: {[`aws:ResourceTag/${ownedTag(frame)}`]: 'owned'},
})
const madeAsOwned = (frame: Frame): Condition => ({
  StringEquals: {[`aws:RequestTag/${ownedTag(frame)}`]: 'owned'},
})

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
  const key = keyOf(frame)
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
    allow('UseKeyOfVolumes', use, key.resource, key.condition),
    allow('LendKeyToVolumes', ['kms:CreateGrant'], key.resource, {
      ...key.condition,
      Bool: {'kms:GrantIsForAWSResource': 'true'},
    }),
  ]
}

/** The key of the spec as policies name it: by ARN, by id, or by alias, which only a condition can. */
function keyOf(
  frame: Frame,
): {readonly resource: string; readonly condition: Condition | undefined} | undefined {
  const {kmsKeyId} = frame.aws
  if (kmsKeyId === undefined) return undefined
  const alias = /(?:^|:)(alias\/.+)$/.exec(kmsKeyId)?.[1]
  if (alias !== undefined) {
    const condition = {'ForAnyValue:StringEquals': {'kms:ResourceAliases': alias}}
    return {resource: arn(frame, 'kms', 'key/*'), condition}
  }
  const resource = kmsKeyId.startsWith('arn:') ? kmsKeyId : arn(frame, 'kms', `key/${kmsKeyId}`)
  return {resource, condition: undefined}
}

/**
 * For the AWS Load Balancer Controller without its parts for WAF, Shield and Cognito. It tags what it makes with the
 * name that it was given for the cluster.
 */
function loadBalancers(frame: Frame): readonly Statement[] {
  const name = frame.spec.name
  const made = {StringEquals: {'aws:RequestTag/elbv2.k8s.aws/cluster': name}}
  const own = {StringEquals: {'aws:ResourceTag/elbv2.k8s.aws/cluster': name}}
  const group = arn(frame, 'ec2', 'security-group/*')
  const elb = (kind: string): string => arn(frame, 'elasticloadbalancing', `${kind}/*`)
  const balancer = elb('loadbalancer')
  const targets = elb('targetgroup')
  const listeners = [elb('listener'), elb('listener-rule')]
  const rules = ['ec2:AuthorizeSecurityGroupIngress', 'ec2:RevokeSecurityGroupIngress']
  return [
    ...lookUpBalancers(frame),
    allow('OpenNodes', rules, group, onOwned(frame)),
    allow('OpenBalancers', [...rules, 'ec2:DeleteSecurityGroup', 'ec2:DeleteTags'], group, own),
    allow('MakeGroups', ['ec2:CreateSecurityGroup'], group, made),
    allow('MakeGroupsInNetwork', ['ec2:CreateSecurityGroup'], arn(frame, 'ec2', 'vpc/*')),
    allow('TagGroups', ['ec2:CreateTags'], group, {
      StringEquals: {...made.StringEquals, 'ec2:CreateAction': 'CreateSecurityGroup'},
    }),
    allow('RetagGroups', ['ec2:CreateTags'], group, own),
    allow(
      'MakeBalancers',
      ['elasticloadbalancing:CreateLoadBalancer', 'elasticloadbalancing:CreateTargetGroup'],
      [balancer, targets],
      made,
    ),
    allow('TagBalancers', ['elasticloadbalancing:AddTags'], [balancer, targets, ...listeners], made),
    allow('ChangeBalancers', CHANGE_BALANCERS, [balancer, targets, ...listeners], own),
  ]
}

const CHANGE_BALANCERS = [
  'AddListenerCertificates',
  'AddTags',
  'CreateListener',
  'CreateRule',
  'DeleteListener',
  'DeleteLoadBalancer',
  'DeleteRule',
  'DeleteTargetGroup',
  'DeregisterTargets',
  'ModifyListener',
  'ModifyListenerAttributes',
  'ModifyLoadBalancerAttributes',
  'ModifyRule',
  'ModifyTargetGroup',
  'ModifyTargetGroupAttributes',
  'RegisterTargets',
  'RemoveListenerCertificates',
  'RemoveTags',
  'SetIpAddressType',
  'SetRulePriorities',
  'SetSecurityGroups',
  'SetSubnets',
].map((action) => `elasticloadbalancing:${action}`)

function lookUpBalancers({partition}: Frame): readonly Statement[] {
  const ec2 = [
    'DescribeAccountAttributes',
    'DescribeAddresses',
    'DescribeAvailabilityZones',
    'DescribeInstances',
    'DescribeInternetGateways',
    'DescribeNetworkInterfaces',
    'DescribeRouteTables',
    'DescribeSecurityGroups',
    'DescribeSubnets',
    'DescribeTags',
    'DescribeVpcPeeringConnections',
    'DescribeVpcs',
    'GetSecurityGroupsForVpc',
  ]
  const elb = [
    'DescribeCapacityReservation',
    'DescribeListenerAttributes',
    'DescribeListenerCertificates',
    'DescribeListeners',
    'DescribeLoadBalancerAttributes',
    'DescribeLoadBalancers',
    'DescribeRules',
    'DescribeSSLPolicies',
    'DescribeTags',
    'DescribeTargetGroupAttributes',
    'DescribeTargetGroups',
    'DescribeTargetHealth',
    'DescribeTrustStores',
  ]
  const actions = [
    ...ec2.map((action) => `ec2:${action}`),
    ...elb.map((action) => `elasticloadbalancing:${action}`),
    'acm:DescribeCertificate',
    'acm:ListCertificates',
  ]
  const linked = 'elasticloadbalancing.amazonaws.com'
  return [
    allow('LookUpBalancers', actions, EVERYTHING),
    allow(
      'LetBalancersWork',
      ['iam:CreateServiceLinkedRole'],
      `arn:${partition}:iam::*:role/aws-service-role/${linked}/*`,
      {StringEquals: {'iam:AWSServiceName': linked}},
    ),
  ]
}

/** Objects of checkpoints, which every node writes, reads and deletes. */
function checkpoints(frame: Frame, bucketArn: string): readonly Statement[] {
  const key = keyOf(frame)
  return [
    allow('FindBucket', ['s3:GetBucketLocation'], bucketArn),
    allow('ListCheckpoints', ['s3:ListBucket'], bucketArn, {StringLike: {'s3:prefix': 'checkpoints/*'}}),
    allow('UseCheckpoints', [...KEEP_OBJECTS, 's3:DeleteObject'], `${bucketArn}/checkpoints/*`),
    ...(key === undefined
      ? []
      : [allow('UseKeyOfBucket', ['kms:Decrypt', 'kms:GenerateDataKey'], key.resource, key.condition)]),
  ]
}

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
  const byDriver = {'efs.csi.aws.com/cluster': 'true'}
  const tagged = (where: 'RequestTag' | 'ResourceTag'): Condition => ({
    StringEquals: Object.fromEntries(
      Object.entries(byDriver).map(([key, value]) => [`aws:${where}/${key}`, value]),
    ),
  })
  return [
    allow(
      'LookUpFileSystems',
      [
        'ec2:DescribeAvailabilityZones',
        'elasticfilesystem:DescribeAccessPoints',
        'elasticfilesystem:DescribeFileSystems',
        'elasticfilesystem:DescribeMountTargets',
      ],
      EVERYTHING,
    ),
    allow(
      'MakeAccessPoints',
      ['elasticfilesystem:CreateAccessPoint'],
      arn(frame, 'elasticfilesystem', 'file-system/*'),
      onOwned(frame),
    ),
    allow('TagAccessPoints', ['elasticfilesystem:TagResource'], point, tagged('RequestTag')),
    allow('DeleteAccessPoints', ['elasticfilesystem:DeleteAccessPoint'], point, tagged('ResourceTag')),
  ]
}

/** What the agent needs for sessions; these know no limit by resource. */
const sessions = (): Statement =>
  allow(
    'HoldSessions',
    [
      'ssm:UpdateInstanceInformation',
      'ssmmessages:CreateControlChannel',
      'ssmmessages:CreateDataChannel',
      'ssmmessages:OpenControlChannel',
      'ssmmessages:OpenDataChannel',
    ],
    EVERYTHING,
  )
