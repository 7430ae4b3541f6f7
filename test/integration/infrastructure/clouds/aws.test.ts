import {
  AllocateAddressCommand,
  AssociateRouteTableCommand,
  AttachInternetGatewayCommand,
  CreateInternetGatewayCommand,
  CreateNatGatewayCommand,
  CreateRouteTableCommand,
  CreateTagsCommand,
  CreateVpcEndpointCommand,
  DescribeSecurityGroupsCommand,
  CreateSecurityGroupCommand,
  CreateSnapshotCommand,
  CreateSubnetCommand,
  CreateVolumeCommand,
  CreateVpcCommand,
  AuthorizeSecurityGroupIngressCommand,
  EC2Client,
  type ResourceType,
  RunInstancesCommand,
} from '@aws-sdk/client-ec2'
import {CreateFileSystemCommand, EFSClient} from '@aws-sdk/client-efs'
import {
  CreateLoadBalancerCommand as CreateClassicCommand,
  ElasticLoadBalancingClient,
} from '@aws-sdk/client-elastic-load-balancing'
import {
  CreateLoadBalancerCommand,
  CreateTargetGroupCommand,
  ElasticLoadBalancingV2Client,
} from '@aws-sdk/client-elastic-load-balancing-v2'
import {
  AddRoleToInstanceProfileCommand,
  CreateInstanceProfileCommand,
  CreatePolicyCommand,
  CreateRoleCommand,
  IAMClient,
  PutRolePolicyCommand,
} from '@aws-sdk/client-iam'
import {CreateBucketCommand, PutBucketTaggingCommand, PutObjectCommand, S3Client} from '@aws-sdk/client-s3'
import {afterAll, beforeAll, expect, test, type TestContext} from 'vitest'
import type {Cloud} from '../../../../src/infrastructure/clouds/cloud.ts'
import {openCloud} from '../../../../src/infrastructure/clouds/open.ts'
import {InfrastructureError} from '../../../../src/infrastructure/errors.ts'
import {sweep} from '../../../../src/workflows/cluster/sweep.ts'
import {type Moto, needMoto} from '../../../support/moto.ts'
import {recordingReport} from '../../../support/recording-report.ts'

const REGION = 'eu-central-1'
let moto: Moto | undefined
const before = {...process.env}

beforeAll(() => {
  // Nothing of this machine's own configuration may reach a test.
  for (const name of Object.keys(process.env))
    if (name.startsWith('AWS_')) Reflect.deleteProperty(process.env, name)
})

afterAll(async () => {
  await moto?.[Symbol.asyncDispose]()
  process.env = before
})

async function emulator(context: TestContext): Promise<Cloud> {
  moto ??= await needMoto(context, {region: REGION})
  await moto.reset()
  Object.assign(process.env, moto.environment)
  return openCloud({kind: 'aws', signal: context.signal})
}

const ours = (name: string) => [
  {Key: 'clouder.dev/cluster', Value: name},
  {Key: `kubernetes.io/cluster/${name}`, Value: 'owned'},
]
const controllers = (name: string) => [{Key: `kubernetes.io/cluster/${name}`, Value: 'owned'}]
const tagged = (kind: ResourceType, tags: {Key: string; Value: string}[]) => ({
  TagSpecifications: [{ResourceType: kind, Tags: tags}],
})
const trust = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{Effect: 'Allow', Principal: {Service: 'ec2.amazonaws.com'}, Action: 'sts:AssumeRole'}],
})

/** What Terraform makes, and what controllers in the cluster make, of the kinds that are left behind. */
async function makeCluster(name: string): Promise<{vpc: string; subnet: string}> {
  const ec2 = new EC2Client({})
  const made = await ec2.send(new CreateVpcCommand({CidrBlock: '10.0.0.0/16', ...tagged('vpc', ours(name))}))
  const vpc = made.Vpc?.VpcId ?? ''
  const subnets = await ec2.send(
    new CreateSubnetCommand({VpcId: vpc, CidrBlock: '10.0.1.0/24', ...tagged('subnet', ours(name))}),
  )
  const subnet = subnets.Subnet?.SubnetId ?? ''
  const group = async (title: string, tags: {Key: string; Value: string}[]) =>
    (
      await ec2.send(
        new CreateSecurityGroupCommand({
          GroupName: title,
          Description: title,
          VpcId: vpc,
          ...tagged('security-group', tags),
        }),
      )
    ).GroupId ?? ''
  const nodes = await group(`${name}-nodes`, ours(name))
  const balancer = await group(`k8s-elb-${name}`, controllers(name))
  // As the cloud provider does it: the nodes' group names that of the load balancer.
  await ec2.send(
    new AuthorizeSecurityGroupIngressCommand({
      GroupId: nodes,
      IpPermissions: [
        {IpProtocol: 'tcp', FromPort: 30000, ToPort: 32767, UserIdGroupPairs: [{GroupId: balancer}]},
        {IpProtocol: 'tcp', FromPort: 22, ToPort: 22, IpRanges: [{CidrIp: '192.0.2.0/24'}]},
      ],
    }),
  )
  await ec2.send(
    new RunInstancesCommand({
      ImageId: 'ami-12c6146b',
      InstanceType: 't3.large',
      MinCount: 1,
      MaxCount: 1,
      SubnetId: subnet,
      SecurityGroupIds: [nodes],
      ...tagged('instance', [...ours(name), {Key: 'Name', Value: `${name}-cp-1`}]),
    }),
  )
  const volume = await ec2.send(
    new CreateVolumeCommand({
      AvailabilityZone: `${REGION}a`,
      Size: 20,
      VolumeType: 'gp3',
      ...tagged('volume', [...controllers(name), {Key: 'kubernetes.io/created-for/pvc/name', Value: 'data'}]),
    }),
  )
  await ec2.send(
    new CreateSnapshotCommand({VolumeId: volume.VolumeId, ...tagged('snapshot', controllers(name))}),
  )
  await makeRoutes(name, vpc, subnet)
  await makeBalancers(name, vpc, subnet)
  await makeIdentities(name)
  await makeStores(name)
  return {vpc, subnet}
}

async function makeRoutes(name: string, vpc: string, subnet: string): Promise<void> {
  const ec2 = new EC2Client({})
  const gateway = await ec2.send(new CreateInternetGatewayCommand(tagged('internet-gateway', ours(name))))
  const gatewayId = gateway.InternetGateway?.InternetGatewayId
  await ec2.send(new AttachInternetGatewayCommand({InternetGatewayId: gatewayId, VpcId: vpc}))
  const made = await ec2.send(new CreateRouteTableCommand({VpcId: vpc, ...tagged('route-table', ours(name))}))
  const table = made.RouteTable?.RouteTableId ?? ''
  await ec2.send(new AssociateRouteTableCommand({RouteTableId: table, SubnetId: subnet}))
  const address = await ec2.send(
    new AllocateAddressCommand({Domain: 'vpc', ...tagged('elastic-ip', ours(name))}),
  )
  await ec2.send(
    new CreateNatGatewayCommand({
      SubnetId: subnet,
      AllocationId: address.AllocationId,
      ...tagged('natgateway', ours(name)),
    }),
  )
  await ec2.send(
    new CreateVpcEndpointCommand({
      VpcId: vpc,
      ServiceName: `com.amazonaws.${REGION}.s3`,
      VpcEndpointType: 'Gateway',
      RouteTableIds: [table],
      ...tagged('vpc-endpoint', ours(name)),
    }),
  )
  // The stack takes the default group of its network over, and writes its tags on it.
  const groups = await ec2.send(
    new DescribeSecurityGroupsCommand({
      Filters: [
        {Name: 'vpc-id', Values: [vpc]},
        {Name: 'group-name', Values: ['default']},
      ],
    }),
  )
  const ids = (groups.SecurityGroups ?? []).flatMap(({GroupId: id}) => id ?? [])
  await ec2.send(new CreateTagsCommand({Resources: ids, Tags: ours(name)}))
}

async function makeBalancers(name: string, vpc: string, subnet: string): Promise<void> {
  const elbv2 = new ElasticLoadBalancingV2Client({})
  await elbv2.send(
    new CreateLoadBalancerCommand({
      Name: `${name}-api`,
      Type: 'network',
      Subnets: [subnet],
      Tags: ours(name),
    }),
  )
  await elbv2.send(
    new CreateLoadBalancerCommand({
      Name: `k8s-${name}-web`,
      Type: 'network',
      Subnets: [subnet],
      Tags: [{Key: 'elbv2.k8s.aws/cluster', Value: name}],
    }),
  )
  await elbv2.send(
    new CreateTargetGroupCommand({
      Name: `k8s-${name}-web`,
      Protocol: 'TCP',
      Port: 80,
      VpcId: vpc,
      Tags: controllers(name),
    }),
  )
  await new ElasticLoadBalancingClient({}).send(
    new CreateClassicCommand({
      LoadBalancerName: `a-${name}`,
      Listeners: [{Protocol: 'tcp', LoadBalancerPort: 80, InstancePort: 30080}],
      Subnets: [subnet],
      Tags: controllers(name),
    }),
  )
}

async function makeIdentities(name: string): Promise<void> {
  const iam = new IAMClient({})
  const role = {RoleName: `${name}-node`}
  const profile = {InstanceProfileName: `${name}-node`}
  const statement = {Effect: 'Allow', Action: 's3:GetObject', Resource: 'arn:aws:s3:::x/y'}
  const document = JSON.stringify({Version: '2012-10-17', Statement: [statement]})
  await iam.send(new CreateRoleCommand({...role, AssumeRolePolicyDocument: trust, Tags: ours(name)}))
  await iam.send(new PutRolePolicyCommand({...role, PolicyName: 'inline', PolicyDocument: document}))
  await iam.send(new CreateInstanceProfileCommand({...profile, Tags: ours(name)}))
  await iam.send(new AddRoleToInstanceProfileCommand({...profile, ...role}))
  await iam.send(
    new CreatePolicyCommand({PolicyName: `${name}-csi`, PolicyDocument: document, Tags: ours(name)}),
  )
}

async function makeStores(name: string): Promise<void> {
  await new EFSClient({}).send(new CreateFileSystemCommand({CreationToken: name, Tags: ours(name)}))
  const s3 = new S3Client({forcePathStyle: true})
  const bucket = {Bucket: `${name}-checkpoints`}
  await s3.send(new CreateBucketCommand({...bucket, CreateBucketConfiguration: {LocationConstraint: REGION}}))
  await s3.send(new PutBucketTaggingCommand({...bucket, Tagging: {TagSet: ours(name)}}))
  await s3.send(new PutObjectCommand({...bucket, Key: 'a/b', Body: 'x'}))
}

test('credentials tell their account, and those of another one are refused', async (context) => {
  const cloud = await emulator(context)
  expect(await cloud.identity(context.signal)).toMatchObject({
    kind: 'aws',
    account: '123456789012',
    region: REGION,
  })
  const opened = openCloud({kind: 'aws', account: '999999999999', signal: context.signal})
  await expect(opened).rejects.toMatchObject({code: 'ACCOUNT_MISMATCH'})
  await expect(opened).rejects.toThrow(/belong to account 123456789012 .*, expected account 999999999999$/)
})

test('everything of a cluster is found by its tags, with who made it, and nothing of another', async (context) => {
  const cloud = await emulator(context)
  await makeCluster('demo')
  await makeCluster('other')
  const found = await cloud.findOwned('demo', context.signal)
  const summary = found.map(({kind, madeBy}) => `${kind} ${madeBy}`)
  expect(summary.toSorted()).toEqual(
    [
      'load-balancer clouder',
      'load-balancer controller',
      'load-balancer controller',
      'target-group controller',
      'machine clouder',
      'address clouder',
      'nat-gateway clouder',
      'endpoint clouder',
      'route-table clouder',
      'internet-gateway clouder',
      'snapshot controller',
      'volume controller',
      'file-system clouder',
      'security-group clouder',
      'security-group controller',
      'subnet clouder',
      'network clouder',
      'instance-profile clouder',
      'role clouder',
      'policy clouder',
      'bucket clouder',
    ].toSorted(),
  )
  expect(found.map(({name}) => name).filter((name) => name.includes('other'))).toEqual([])
  const volume = found.find(({kind}) => kind === 'volume')
  expect(volume).toMatchObject({name: 'data', sizeGiB: 20, type: 'gp3', holdsData: true, region: REGION})
  expect(await cloud.ownedClusters(context.signal)).toEqual(['demo', 'other'])
})

test('a sweep leaves nothing of a cluster, and to another all it has; a second one finds nothing to do', async (context) => {
  const cloud = await emulator(context)
  await makeCluster('demo')
  await makeCluster('other')
  const others = await cloud.findOwned('other', context.signal)
  const found = await cloud.findOwned('demo', context.signal)
  const tools = {report: recordingReport().report, signal: context.signal, now: () => Date.now()}
  const options = {cluster: 'demo', cloud, keepData: false, intervalMs: 50} as const
  const controllers = await sweep({...options, scope: 'controllers'}, tools)
  // Its rules were taken out of the group of the nodes, which stays.
  expect(controllers).toMatchObject({left: []})
  expect(controllers.removed.filter((text) => text.startsWith('security-group'))).toHaveLength(1)
  const all = await sweep({...options, scope: 'all'}, tools)
  expect(all).toMatchObject({left: [], kept: []})
  expect(controllers.removed.length + all.removed.length).toBe(found.length)
  expect(await cloud.findOwned('demo', context.signal)).toEqual([])
  expect(await cloud.findOwned('other', context.signal)).toEqual(others)
  expect(await sweep({...options, scope: 'all'}, tools)).toEqual({removed: [], kept: [], left: []})
  // What is gone already can be removed again.
  for (const resource of found) expect(await cloud.remove(resource, context.signal)).toBe('removed')
})

test('where somebody else runs a cluster of the same name, only what carries our own tag is ours', async (context) => {
  const cloud = await emulator(context)
  const {subnet} = await makeCluster('demo')
  const theirs = {ImageId: 'ami-12c6146b', MinCount: 1, MaxCount: 1, SubnetId: subnet}
  await new EC2Client({}).send(
    new RunInstancesCommand({...theirs, ...tagged('instance', controllers('demo'))}),
  )
  const found = await cloud.findOwned('demo', context.signal)
  expect(found.filter(({madeBy}) => madeBy === 'controller')).toEqual([])
  expect(found.filter(({kind}) => kind === 'machine')).toHaveLength(1)
  expect(found.map(({kind}) => kind)).not.toContain('volume')
})

test('a firewall that somebody else names in a rule of theirs stays, and the rule too', async (context) => {
  const cloud = await emulator(context)
  const {vpc} = await makeCluster('demo')
  const ec2 = new EC2Client({})
  const balancer = (await cloud.findOwned('demo', context.signal)).find(({name}) => name === 'k8s-elb-demo')
  if (balancer === undefined) throw new TypeError('no group')
  const theirs = await ec2.send(
    new CreateSecurityGroupCommand({GroupName: 'theirs', Description: 'theirs', VpcId: vpc}),
  )
  const rule = {IpProtocol: 'tcp', FromPort: 80, ToPort: 80, UserIdGroupPairs: [{GroupId: balancer.id}]}
  await ec2.send(new AuthorizeSecurityGroupIngressCommand({GroupId: theirs.GroupId, IpPermissions: [rule]}))
  await cloud.remove(balancer, context.signal)
  const read = await ec2.send(new DescribeSecurityGroupsCommand({GroupIds: [theirs.GroupId ?? '']}))
  expect(read.SecurityGroups?.[0]?.IpPermissions).toHaveLength(1)
})

test('a network in which something still is cannot go yet', async (context) => {
  const cloud = await emulator(context)
  await makeCluster('demo')
  const found = await cloud.findOwned('demo', context.signal)
  const network = found.find(({kind}) => kind === 'network')
  if (network === undefined) throw new TypeError('no network')
  expect(await cloud.remove(network, context.signal)).toBe('busy')
})

test('regions and machine sizes are told', async (context) => {
  const cloud = await emulator(context)
  const regions = await cloud.regions(context.signal)
  expect(regions).toContainEqual({name: REGION, title: REGION, enabled: true})
  const sizes = await cloud.vmSizes(context.signal)
  expect(sizes.find(({name}) => name === 't3.large')).toMatchObject({
    vcpus: 2,
    memoryGiB: 8,
    gpus: 0,
    arch: 'amd64',
    restriction: undefined,
  })
  expect(sizes.find(({name}) => name === 't4g.large')?.arch).toBe('arm64')
})

test('sizes that are not offered, a network that overlaps or is absent, and a withdrawn image are found before a plan', async (context) => {
  const cloud = await emulator(context)
  const {vpc} = await makeCluster('demo')
  const machines = [
    {size: 't9.huge', count: 1, spot: false, zones: []},
    {size: 't3.large', count: 1, spot: false, zones: [`${REGION}a`, `${REGION}z`]},
  ]
  const wanted = {machines, imageIds: ['ami-12c6146b', 'ami-0gone'], networkId: vpc, cidrs: ['10.0.128.0/17']}
  const problems = await cloud.check(wanted, context.signal)
  expect(problems.map(({code, message}) => `${code} ${message}`)).toEqual([
    `SIZE_NOT_OFFERED machine size t9.huge is not offered in ${REGION}`,
    `SIZE_NOT_OFFERED machine size t3.large is not offered in zone ${REGION}z`,
    `NETWORK_OVERLAP 10.0.128.0/17 overlaps with VPC ${vpc} (10.0.0.0/16)`,
    `IMAGE_MISSING image ami-0gone not found in ${REGION}: it was withdrawn, or this account has no access to it`,
  ])
  const fine = {...wanted, machines: [], imageIds: [], cidrs: ['10.244.0.0/16']}
  expect(await cloud.check(fine, context.signal)).toEqual([])
  const absent = await cloud.check({...fine, networkId: 'vpc-0none'}, context.signal)
  expect(absent.map(({code}) => code)).toEqual(['NETWORK_MISSING'])
})

test('a machine that printed no host keys yet has none', async (context) => {
  const cloud = await emulator(context)
  await makeCluster('demo')
  const ids = (await cloud.findOwned('demo', context.signal))
    .filter(({kind}) => kind === 'machine')
    .map(({id}) => id)
  expect(ids).toHaveLength(1)
  // Nor one that was made a moment ago, which AWS does not know everywhere yet.
  expect(await cloud.hostKeys([...ids, 'i-0123456789abcdef0'], context.signal)).toEqual(new Map())
})

test('no region, no credentials and no answer are told apart', async (context) => {
  await emulator(context)
  const code = async (act: Promise<unknown>): Promise<string> => {
    const error: unknown = await act.catch((thrown: unknown) => thrown)
    return error instanceof InfrastructureError ? error.code : String(error)
  }
  const ask = async () => (await openCloud({kind: 'aws', signal: context.signal})).identity(context.signal)
  Object.assign(process.env, {AWS_ENDPOINT_URL: 'http://127.0.0.1:1', AWS_MAX_ATTEMPTS: '1'})
  expect(await code(ask())).toBe('CLOUD_UNREACHABLE')
  delete process.env['AWS_ACCESS_KEY_ID']
  expect(await code(ask())).toBe('CREDENTIALS_MISSING')
  delete process.env['AWS_REGION']
  delete process.env['AWS_DEFAULT_REGION']
  expect(await code(ask())).toBe('REGION_MISSING')
  delete process.env['AWS_MAX_ATTEMPTS']
})
