import {DescribeInstancesCommand, DescribeVpcsCommand} from '@aws-sdk/client-ec2'
import {CreateBucketCommand, DeleteObjectCommand, PutObjectCommand, S3Client} from '@aws-sdk/client-s3'
import {expect, test} from 'vitest'
import {type AwsHere, REGION, withAws} from '../support/aws-cloud.ts'
import {failureOf, textOf, writeClusterFile} from '../support/byon-cluster.ts'
import type {CliOptions} from '../support/cli.ts'

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

const STATES = 'states'
/** Somebody else who works on the state, as Terraform writes it into the lock beside the state. */
const HOLDER = {
  ID: '75e3c92c-5175-4f2d-dc8a-e47c0ea9240d',
  Operation: 'OperationTypeApply',
  Info: '',
  Who: 'ann@laptop',
  Version: '1.11.4',
  Created: '2026-11-21T12:59:47.429775093Z',
}

/** A bucket of the user, for states. */
async function stateBucket() {
  const s3 = new S3Client({forcePathStyle: true})
  const Bucket = STATES
  await s3.send(new CreateBucketCommand({Bucket, CreateBucketConfiguration: {LocationConstraint: REGION}}))
  return {
    put: (Key: string, Body: string) => s3.send(new PutObjectCommand({Bucket, Key, Body})),
    remove: (Key: string) => s3.send(new DeleteObjectCommand({Bucket, Key})),
  }
}

async function instancesOf({ec2}: AwsHere, name: string): Promise<number> {
  const {Reservations = []} = await ec2.send(new DescribeInstancesCommand(tagged(name)))
  return Reservations.flatMap(({Instances = []}) => Instances).length
}

/** What EC2 says in the middle of an apply, and what becomes of it. */
const REFUSALS = [
  {
    code: 'VcpuLimitExceeded',
    message: 'You have requested more vCPU capacity than your current vCPU limit of 0 allows',
    ours: 'QUOTA_EXCEEDED',
    next: 'request a higher limit from the cloud',
  },
  {
    code: 'InvalidAMIID.NotFound',
    message: "The image id '[ami-0deb1a00000000013]' does not exist",
    ours: 'IMAGE_MISSING',
    next: 'spec.provider.aws.imageId',
  },
  {
    code: 'Unsupported',
    message:
      'Your requested instance type (t3.large) is not supported in your requested Availability Zone (eu-central-1a).',
    ours: 'SIZE_NOT_OFFERED',
    next: 'use another size or zone',
  },
] as const

const EXPIRED = {code: 'ExpiredToken', message: 'The security token included in the request is expired'}

test('what is refused in the middle of an apply is told for what it is, made once, and removed whole', async (context) => {
  await withAws(context, {}, async (aws) => {
    const name = 'refused'
    const config = await writeClusterFile(aws.dir, name, spec)
    const made: (readonly (string | undefined)[])[] = []
    for (const {ours, next, ...refusal} of REFUSALS) {
      aws.front.refuse('RunInstances', refusal)
      const run = await aws.clouder(['kubeadm', 'create', '--config', config, '--yes', '--json'])
      const {code, exitCode, text} = failureOf(run)
      expect(exitCode, text).toBe(5)
      expect(code, text).toBe(ours)
      expect(text).toContain('aws_instance.')
      expect(text).toContain(next)
      made.push(await vpcsOf(aws, name))
      expect(await instancesOf(aws, name)).toBe(0)
    }
    expect(made[0]).toHaveLength(1)
    for (const vpcs of made) expect(vpcs).toEqual(made[0])
    const gone = await aws.clouder(['kubeadm', 'terminate', name, '--yes', '--json'])
    expect(gone.exitCode, textOf(gone)).toBe(0)
    expect(await aws.owned(name)).toEqual([])
  })
})

test('a state that another run holds is left alone, and one that an expired token kept from being saved is saved', async (context) => {
  await withAws(context, {}, async (aws) => {
    const name = 'held'
    const key = `clouder/${name}.tfstate`
    const states = await stateBucket()
    const state = {backend: 's3', s3: {bucket: STATES, region: REGION}}
    const config = await writeClusterFile(aws.dir, name, {...spec, state})
    const create = (options: Partial<CliOptions> = {}) =>
      aws.clouder(['kubeadm', 'create', '--config', config, '--yes', '--json'], options)

    await states.put(`${key}.tflock`, JSON.stringify({...HOLDER, Path: `${STATES}/${key}`}))
    for (const _ of ['first', 'again']) {
      const {code, exitCode, text} = failureOf(await create())
      expect(exitCode, text).toBe(5)
      expect(code, text).toBe('STATE_LOCKED')
      expect(text).toContain(HOLDER.Who)
      expect(text).toContain(`force-unlock ${HOLDER.ID}`)
    }
    expect(await vpcsOf(aws, name)).toEqual([])
    await states.remove(`${key}.tflock`)

    // Refused from when the apply begins: a machine, saving the state, and giving the lock back.
    const calls = ['RunInstances', `PUT /${key}`, `DELETE /${key}.tflock`]
    const onEvent: CliOptions['onEvent'] = ({type}) => {
      if (type === 'phase-planned') for (const call of calls) aws.front.refuse(call, EXPIRED)
    }
    const expired = failureOf(await create({onEvent}))
    expect(expired.exitCode, expired.text).toBe(5)
    expect(expired.code, expired.text).toBe('CREDENTIALS_EXPIRED')
    expect(expired.text).toContain('log in again, then run the same command')
    const made = await vpcsOf(aws, name)
    expect(made).toHaveLength(1)

    for (const call of calls) aws.front.refuse(call, undefined)
    const run = await create()
    expect(run.exitCode, textOf(run)).toBe(0)
    expect(run.stdout).toContain('saved the state that an earlier run could not save')
    expect(await vpcsOf(aws, name)).toEqual(made)
    expect(await instancesOf(aws, name)).toBe(2)
    const plan = await aws.clouder(['infra', 'plan', '--config', config, '--json'])
    expect(plan.exitCode, textOf(plan)).toBe(0)
  })
})
