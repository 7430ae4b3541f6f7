import {
  AuthorizeSecurityGroupIngressCommand,
  CreateVolumeCommand,
  DescribeInstancesCommand,
  DescribeSecurityGroupsCommand,
  DescribeVpcsCommand,
  RevokeSecurityGroupIngressCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import {CreateLoadBalancerCommand, ElasticLoadBalancingClient} from '@aws-sdk/client-elastic-load-balancing'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {withAws, REGION, type AwsHere} from '../support/aws-cloud.ts'
import {failureOf, textOf, writeClusterFile} from '../support/byon-cluster.ts'
import type {CliResult} from '../support/cli.ts'

const planSchema = z.looseObject({
  type: z.literal('result'),
  hasChanges: z.boolean(),
  changes: z.array(z.looseObject({address: z.string(), actions: z.array(z.string())})),
})

const spec = {
  provider: {kind: 'aws', aws: {region: REGION, bastion: 'none', network: {cidr: '10.80.0.0/20'}}},
  controlPlane: {count: 1, size: 't3.medium'},
  workers: [{count: 1, size: 't3.large'}],
  access: {adminCidrs: ['203.0.113.0/24']},
} as const

/** A plan by its exit code: 0, nothing to do; 2, something is. */
function planOf(run: CliResult, exitCode: 0 | 2): z.output<typeof planSchema> {
  expect(run.exitCode, textOf(run)).toBe(exitCode)
  const plan = planSchema.parse(run.events.at(-1))
  expect(plan.hasChanges).toBe(exitCode === 2)
  return plan
}

function succeeded(run: CliResult): void {
  expect(run.exitCode, textOf(run)).toBe(0)
}

const addressesOf = ({changes}: z.output<typeof planSchema>) => changes.map(({address}) => address)

/** An opening to the world, made by hand. */
const TELNET = {IpProtocol: 'tcp', FromPort: 23, ToPort: 23, IpRanges: [{CidrIp: '0.0.0.0/0'}]}

const tagged = (name: string) => ({Filters: [{Name: 'tag:clouder.dev/cluster', Values: [name]}]})

async function runningInstances({ec2}: AwsHere, name: string): Promise<readonly string[]> {
  const {Reservations = []} = await ec2.send(new DescribeInstancesCommand(tagged(name)))
  return Reservations.flatMap(({Instances = []}) => Instances)
    .filter(({State}) => State?.Name === 'running')
    .map(({InstanceId = ''}) => InstanceId)
}

test('what is planned is made, drift is seen and undone, and nothing is left', async (context) => {
  await withAws(context, {}, async (aws) => {
    const name = 'whole'
    const config = await writeClusterFile(aws.dir, name, spec)
    const infra = (verb: string, ...more: readonly string[]) =>
      aws.clouder(['infra', verb, ...more, '--config', config, '--json'])

    const plan = planOf(await infra('plan'), 2)
    expect(plan.changes.every(({actions}) => actions.join() === 'create' || actions.join() === 'read')).toBe(
      true,
    )
    expect(aws.front.actions.filter((action) => /^(Run|Create|Authorize|Put)/.test(action))).toEqual([])

    succeeded(await infra('apply', '--yes'))
    expect(await runningInstances(aws, name)).toHaveLength(2)
    expect(planOf(await infra('plan'), 0).changes).toEqual([])
    expect(planOf(await infra('drift'), 0).changes).toEqual([])

    const groupId = await workersGroup(aws, name)
    await aws.ec2.send(new AuthorizeSecurityGroupIngressCommand({GroupId: groupId, IpPermissions: [TELNET]}))
    expect(addressesOf(planOf(await infra('drift'), 2))).toEqual(['aws_security_group.worker'])
    await aws.ec2.send(new RevokeSecurityGroupIngressCommand({GroupId: groupId, IpPermissions: [TELNET]}))
    planOf(await infra('drift'), 0)

    await loseAWorker(aws, name)
    expect(addressesOf(planOf(await infra('drift'), 2))).toContain('aws_instance.worker-1')
    expect(addressesOf(planOf(await infra('plan'), 2))).toContain('aws_instance.worker-1')
    succeeded(await infra('apply', '--yes'))
    expect(await runningInstances(aws, name)).toHaveLength(2)
    planOf(await infra('plan'), 0)
    planOf(await infra('drift'), 0)

    await makeAsControllersDo(aws, name)
    expect((await aws.owned(name)).filter(({madeBy}) => madeBy === 'controller')).toHaveLength(2)
    succeeded(await aws.clouder(['kubeadm', 'terminate', name, '--yes', '--json']))
    expect(await aws.owned(name)).toEqual([])
    expect(await runningInstances(aws, name)).toEqual([])
    const {Vpcs = []} = await aws.ec2.send(new DescribeVpcsCommand(tagged(name)))
    expect(Vpcs).toEqual([])
    expect(aws.said.join('\n'), 'no private key is told').not.toContain('PRIVATE KEY')
  })
})

test('a run that the cloud stopped half-way goes on where it was', async (context) => {
  await withAws(context, {}, async (aws) => {
    const name = 'half'
    const config = await writeClusterFile(aws.dir, name, spec)
    const create = () => aws.clouder(['kubeadm', 'create', '--config', config, '--yes', '--json'])

    aws.front.refuse('CreateLoadBalancer', {code: 'AccessDenied', message: 'not authorized to perform this'})
    const failure = failureOf(await create())
    expect(failure.exitCode, failure.text).toBe(5)
    expect(failure.text).toContain('aws_lb.')
    const {Vpcs: made = []} = await aws.ec2.send(new DescribeVpcsCommand(tagged(name)))
    expect(made).toHaveLength(1)
    const before = await runningInstances(aws, name)

    aws.front.refuse('CreateLoadBalancer', undefined)
    succeeded(await create())
    const {Vpcs: kept = []} = await aws.ec2.send(new DescribeVpcsCommand(tagged(name)))
    expect(kept.map(({VpcId}) => VpcId)).toEqual(made.map(({VpcId}) => VpcId))
    expect(await runningInstances(aws, name), 'machines that were made are kept').toEqual(
      expect.arrayContaining([...before]),
    )
    expect(await runningInstances(aws, name)).toHaveLength(2)
    planOf(await aws.clouder(['infra', 'plan', '--config', config, '--json']), 0)
    succeeded(await aws.clouder(['kubeadm', 'terminate', name, '--yes', '--json']))
    expect(await aws.owned(name)).toEqual([])
  })
})

async function workersGroup({ec2}: AwsHere, name: string): Promise<string> {
  const {SecurityGroups = []} = await ec2.send(new DescribeSecurityGroupsCommand(tagged(name)))
  const group = SecurityGroups.find(({GroupName = ''}) => GroupName.endsWith('-worker'))
  if (group?.GroupId === undefined) throw new Error('there is no security group of workers')
  return group.GroupId
}

async function loseAWorker({ec2}: AwsHere, name: string): Promise<void> {
  const {Reservations = []} = await ec2.send(new DescribeInstancesCommand(tagged(name)))
  const worker = Reservations.flatMap(({Instances = []}) => Instances).find(({Tags = []}) =>
    Tags.some(({Key, Value = ''}) => Key === 'Name' && Value.endsWith('worker-1')),
  )
  await ec2.send(new TerminateInstancesCommand({InstanceIds: [worker?.InstanceId ?? '']}))
}

/** A volume of a claim and a load balancer of a service, as the controllers in a cluster tag them. */
async function makeAsControllersDo({ec2}: AwsHere, name: string): Promise<void> {
  const Tags = [{Key: `kubernetes.io/cluster/${name}`, Value: 'owned'}]
  const TagSpecifications = [{ResourceType: 'volume' as const, Tags}]
  await ec2.send(new CreateVolumeCommand({AvailabilityZone: `${REGION}a`, Size: 8, TagSpecifications}))
  const classic = new ElasticLoadBalancingClient({})
  const listener = {Protocol: 'TCP', LoadBalancerPort: 80, InstancePort: 30080}
  await classic.send(
    new CreateLoadBalancerCommand({
      LoadBalancerName: 'a0123456789abcdef',
      Listeners: [listener],
      AvailabilityZones: [`${REGION}a`],
      Tags,
    }),
  )
  classic.destroy()
}
