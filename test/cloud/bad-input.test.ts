import {DescribeInstancesCommand, DescribeVpcsCommand} from '@aws-sdk/client-ec2'
import {CreateBucketCommand, DeleteObjectCommand, PutObjectCommand, S3Client} from '@aws-sdk/client-s3'
import {expect, test} from 'vitest'
import {type AwsHere, REGION, withAws} from '../support/aws-cloud.ts'
import {failureOf, textOf, writeClusterFile} from '../support/byon-cluster.ts'

const spec = {
  provider: {
    kind: 'aws',
    aws: {region: REGION, bastion: 'none', api: 'internal', network: {cidr: '10.81.0.0/20'}},
  },
  controlPlane: {count: 1, size: 't3.medium'},
  workers: [{count: 1, size: 't3.large'}],
} as const

const tagged = (name: string) => ({Filters: [{Name: 'tag:clouder.dev/cluster', Values: [name]}]})

async function vpcsOf({ec2}: AwsHere, name: string): Promise<readonly (string | undefined)[]> {
  const {Vpcs = []} = await ec2.send(new DescribeVpcsCommand(tagged(name)))
  return Vpcs.map(({VpcId}) => VpcId)
}

async function instancesOf({ec2}: AwsHere, name: string): Promise<number> {
  const {Reservations = []} = await ec2.send(new DescribeInstancesCommand(tagged(name)))
  return Reservations.flatMap(({Instances = []}) => Instances).length
}

/** What EC2 says in the middle of an apply, and what becomes of it. */
const REFUSALS = [
  {
    code: 'ExpiredToken',
    message: 'The security token included in the request is expired',
    ours: 'CREDENTIALS_EXPIRED',
    next: 'log in again, then run the same command',
  },
  {
    code: 'VcpuLimitExceeded',
    message: 'You have requested more vCPU capacity than your current vCPU limit of 0 allows',
    ours: 'QUOTA_EXCEEDED',
    next: 'ask the cloud for a higher limit',
  },
  {
    code: 'InvalidAMIID.NotFound',
    message: "The image id '[ami-0deb1a00000000013]' does not exist",
    ours: 'IMAGE_MISSING',
    next: 'spec.provider.aws.imageId',
  },
] as const

test('what is refused in the middle of an apply is told for what it is, and the next run goes on', async (context) => {
  await withAws(context, {}, async (aws) => {
    const name = 'refused'
    const config = await writeClusterFile(aws.dir, name, spec)
    const create = () => aws.clouder(['kubeadm', 'create', '--config', config, '--yes', '--json'])
    const made: (readonly (string | undefined)[])[] = []
    for (const {ours, next, ...refusal} of REFUSALS) {
      aws.front.refuse('RunInstances', refusal)
      const {code, exitCode, text} = failureOf(await create())
      expect(exitCode, text).toBe(5)
      expect(code, text).toBe(ours)
      expect(text).toContain('aws_instance.')
      expect(text).toContain(next)
      made.push(await vpcsOf(aws, name))
      expect(await instancesOf(aws, name)).toBe(0)
    }
    aws.front.refuse('RunInstances', undefined)
    const run = await create()
    expect(run.exitCode, textOf(run)).toBe(0)
    expect(await instancesOf(aws, name)).toBe(2)
    expect(made[0]).toHaveLength(1)
    for (const vpcs of [...made, await vpcsOf(aws, name)]) expect(vpcs).toEqual(made[0])
  })
})

test('a state that another run holds is left alone, and who holds it is told', async (context) => {
  await withAws(context, {}, async (aws) => {
    const name = 'held'
    const s3 = new S3Client({forcePathStyle: true})
    await s3.send(
      new CreateBucketCommand({Bucket: 'states', CreateBucketConfiguration: {LocationConstraint: REGION}}),
    )
    const lock = {Bucket: 'states', Key: `clouder/${name}.tfstate.tflock`}
    const holder = {
      ID: '75e3c92c-5175-4f2d-dc8a-e47c0ea9240d',
      Operation: 'OperationTypeApply',
      Info: '',
      Who: 'ann@laptop',
      Version: '1.11.4',
      Created: '2026-11-21T12:59:47.429775093Z',
      Path: `states/clouder/${name}.tfstate`,
    }
    await s3.send(new PutObjectCommand({...lock, Body: JSON.stringify(holder)}))
    const state = {backend: 's3', s3: {bucket: 'states', region: REGION}}
    const config = await writeClusterFile(aws.dir, name, {...spec, state})
    for (const _ of ['first', 'again']) {
      const run = await aws.clouder(['kubeadm', 'create', '--config', config, '--yes', '--json'])
      const {code, exitCode, text} = failureOf(run)
      expect(exitCode, text).toBe(5)
      expect(code, text).toBe('STATE_LOCKED')
      expect(text).toContain('ann@laptop')
      expect(text).toContain(`force-unlock ${holder.ID}`)
    }
    expect(await vpcsOf(aws, name)).toEqual([])
    await s3.send(new DeleteObjectCommand(lock))
    s3.destroy()
    const plan = await aws.clouder(['infra', 'plan', '--config', config, '--json'])
    expect(plan.exitCode, textOf(plan)).toBe(2)
  })
})
