import {existsSync} from 'node:fs'
import {readdir} from 'node:fs/promises'
import {join} from 'node:path'
import {CreateVpcCommand, EC2Client} from '@aws-sdk/client-ec2'
import {expect, test, type TestContext} from 'vitest'
import {z} from 'zod'
import {type AwsFront, startAwsFront} from '../support/aws-front.ts'
import {textOf, writeClusterFile} from '../support/byon-cluster.ts'
import {clouder, type CliResult} from '../support/cli.ts'
import {needMoto} from '../support/moto.ts'
import {withTempFolder} from '../support/temp-folder.ts'
import {terraformOrSkip} from '../support/with-terraform.ts'

const REGION = 'eu-central-1'

interface Account {
  readonly front: AwsFront
  /** The emulator behind it, where somebody else may make things. */
  readonly emulator: string
  /** CLOUDER_HOME. */
  readonly home: string
  /** Machines ordered by a specification, merged over one that is fine. */
  readonly create: (more: Spec, environment?: Readonly<Record<string, string>>) => Promise<CliResult>
}

interface Spec {
  readonly aws?: object
  readonly [key: string]: unknown
}

/** An account of the emulator, in which nothing may be made. */
const withAccount =
  (body: (account: Account) => Promise<void>) =>
  (context: TestContext): Promise<void> =>
    withTempFolder(async (dir) => {
      await terraformOrSkip(dir, context)
      await using moto = await needMoto(context, {region: REGION})
      await using front = await startAwsFront({emulator: moto})
      const home = join(dir, 'home')
      const own = {...front.environment, HOME: dir, AWS_PROFILE: '', AWS_SESSION_TOKEN: ''}
      await body({
        front,
        emulator: moto.url,
        home,
        create: async ({aws = {}, ...more}, environment = {}) => {
          const spec = {
            provider: {kind: 'aws', aws: {region: REGION, bastion: 'none', ...aws}},
            access: {adminCidrs: ['203.0.113.0/24']},
            ...more,
          }
          const config = await writeClusterFile(dir, 'bad', spec)
          const args = ['kubeadm', 'create', '--config', config, '--yes', '--json']
          return clouder(args, {home, environment: {...own, ...environment}, timeoutMs: 120_000})
        },
      })
      expect(
        front.actions.filter((action) => /^(Run|Create|Put|Allocate|Import|Authorize)/.test(action)),
      ).toEqual([])
      expect(await remembered(home), 'no cluster is remembered').toEqual([])
    })

/** Clusters of which anything is kept. */
async function remembered(home: string): Promise<readonly string[]> {
  const clusters = join(home, 'clusters')
  return existsSync(clusters) ? readdir(clusters) : []
}

const failureSchema = z.looseObject({
  type: z.literal('error'),
  code: z.string(),
  message: z.string(),
  suggestions: z.array(z.string()),
})

interface Refused {
  readonly exitCode: number
  readonly code: string
  readonly message: RegExp
  /** One of what is suggested. */
  readonly next: RegExp
}

/** Refused twice with the same words: nothing that the first run left stands in the way of the second. */
async function expectRefused(run: () => Promise<CliResult>, refused: Refused): Promise<void> {
  const first = await run()
  expect(first.exitCode, textOf(first)).toBe(refused.exitCode)
  const failure = failureSchema.parse(first.events.at(-1))
  expect(failure.code, failure.message).toBe(refused.code)
  expect(failure.message).toMatch(refused.message)
  expect(failure.suggestions.join('\n')).toMatch(refused.next)
  const second = await run()
  expect(failureSchema.parse(second.events.at(-1))).toMatchObject({
    code: failure.code,
    message: failure.message,
  })
}

test(
  'without credentials',
  withAccount(async ({create}) => {
    const none = {AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: ''}
    await expectRefused(() => create({}, none), {
      exitCode: 5,
      code: 'CREDENTIALS_MISSING',
      message: /^no credentials for AWS: /,
      next: /aws sso login/,
    })
  }),
)

test(
  'credentials of another account',
  withAccount(async ({create}) => {
    await expectRefused(() => create({aws: {account: '999999999999'}}), {
      exitCode: 5,
      code: 'ACCOUNT_MISMATCH',
      message: /the credentials belong to account 123456789012 .* expected account 999999999999$/,
      next: /AWS_PROFILE=NAME/,
    })
  }),
)

test(
  'a region without the instance type',
  withAccount(async ({create}) => {
    await expectRefused(() => create({workers: [{size: 't9.huge'}]}), {
      exitCode: 5,
      code: 'SIZE_NOT_OFFERED',
      message: /^machine size t9\.huge is not offered in eu-central-1$/,
      next: /clouder aws vm-sizes --region eu-central-1/,
    })
  }),
)

test(
  'a quota that the machines exceed',
  withAccount(async ({create, front}) => {
    front.play('GetServiceQuota', {Quota: {QuotaCode: 'L-1216C47A', Value: 5}})
    await expectRefused(
      () => create({controlPlane: {size: 't3.medium'}, workers: [{count: 2, size: 't3.large'}]}),
      {
        exitCode: 5,
        code: 'QUOTA_EXCEEDED',
        message:
          /^6 more vCPUs of on-demand standard instances in eu-central-1 exceed the quota: 0 of 5 are in use$/,
        next: /aws service-quotas request-service-quota-increase .*--quota-code L-1216C47A --desired-value 6/,
      },
    )
  }),
)

test(
  'pods in the network of an existing VPC',
  withAccount(async ({create, emulator}) => {
    const ec2 = new EC2Client({
      endpoint: emulator,
      region: REGION,
      credentials: {accessKeyId: 'testing', secretAccessKey: 'testing'},
    })
    const {Vpc} = await ec2.send(new CreateVpcCommand({CidrBlock: '10.244.0.0/16'}))
    ec2.destroy()
    const vpcId = Vpc?.VpcId ?? ''
    const existing = {vpcId, privateSubnetIds: ['subnet-1'], publicSubnetIds: ['subnet-2']}
    await expectRefused(() => create({aws: {network: {existing}}}), {
      exitCode: 5,
      code: 'NETWORK_OVERLAP',
      message: new RegExp(`^10\\.244\\.0\\.0/16 overlaps with VPC ${vpcId} \\(10\\.244\\.0\\.0/16\\)$`),
      next: /spec\.network\.podCidr/,
    })
  }),
)

test(
  'an image that was withdrawn',
  withAccount(async ({create}) => {
    await expectRefused(() => create({aws: {imageId: 'ami-0123456789abcdef0'}}), {
      exitCode: 5,
      code: 'IMAGE_MISSING',
      message: /^image ami-0123456789abcdef0 not found in eu-central-1: it was withdrawn/,
      next: /remove spec\.provider\.aws\.imageId/,
    })
  }),
)

test(
  'a token that has expired',
  withAccount(async ({create, front}) => {
    const message = 'The security token included in the request is expired'
    front.refuse('GetCallerIdentity', {code: 'ExpiredToken', message})
    await expectRefused(() => create({}), {
      exitCode: 5,
      code: 'CREDENTIALS_EXPIRED',
      message: /^AWS rejected the credentials for sts:GetCallerIdentity: The security token/,
      next: /aws sso login/,
    })
  }),
)

test(
  'a cloud that does not answer',
  withAccount(async ({create}) => {
    const dead = {AWS_ENDPOINT_URL: 'http://127.0.0.1:1', AWS_MAX_ATTEMPTS: '1'}
    await expectRefused(() => create({}, dead), {
      exitCode: 5,
      code: 'CLOUD_UNREACHABLE',
      message: /^AWS did not respond to sts:GetCallerIdentity: .*127\.0\.0\.1:1/,
      next: /AWS_ENDPOINT_URL/,
    })
  }),
)

test(
  'a bucket for the state that is not there',
  withAccount(async ({create}) => {
    const state = {backend: 's3', s3: {bucket: 'nobody-made-it', region: REGION}}
    await expectRefused(() => create({state}), {
      exitCode: 5,
      code: 'BACKEND_UNREACHABLE',
      message: /nobody-made-it/,
      next: /terraform .*init$/m,
    })
  }),
)

test(
  'a backend of the state that does not answer',
  withAccount(async ({create}) => {
    const state = {backend: 's3', s3: {bucket: 'state', region: REGION}}
    await expectRefused(
      () => create({state}, {AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:1', AWS_MAX_ATTEMPTS: '1'}),
      {
        exitCode: 5,
        code: 'BACKEND_UNREACHABLE',
        message: /state/,
        next: /terraform .*init$/m,
      },
    )
  }),
)
