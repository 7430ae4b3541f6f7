import {mkdtemp, readFile, rm, stat, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {CreateVolumeCommand, CreateVpcCommand, EC2Client, type ResourceType} from '@aws-sdk/client-ec2'
import {afterAll, expect, test, type TestContext} from 'vitest'
import {SHIPPED_DATE} from '../../../../src/infrastructure/cost/prices.ts'
import {clouder, type CliResult} from '../../../support/cli.ts'
import {type Moto, needMoto} from '../../../support/moto.ts'

const REGION = 'eu-central-1'
let moto: Moto | undefined
let home: string | undefined

afterAll(async () => {
  await moto?.[Symbol.asyncDispose]()
  if (home !== undefined) await rm(home, {recursive: true, force: true})
})

interface CommandLine {
  readonly home: string
  readonly run: (...argv: readonly string[]) => Promise<CliResult>
}

/** The command line with an empty home, beside an empty emulator. */
async function commandLine(context: TestContext): Promise<CommandLine> {
  const emulator = (moto ??= await needMoto(context, {region: REGION}))
  await emulator.reset()
  if (home !== undefined) await rm(home, {recursive: true, force: true})
  const dir = (home = await mkdtemp(join(tmpdir(), 'clouder-contexts-')))
  const environment = {...emulator.environment, XDG_CACHE_HOME: join(dir, 'cache')}
  return {home: dir, run: (...argv) => clouder(argv, {home: dir, environment, timeoutMs: 120_000})}
}

/** The last line of `--json`. */
const resultOf = ({stdout}: CliResult): unknown => JSON.parse(stdout.trim().split('\n').at(-1) ?? '')

test('a context is made of the credentials, used, and refused when they are of another account', async (context) => {
  const {home: dir, run} = await commandLine(context)
  const made = await run('aws', 'configure', 'prod', '--json')
  expect(resultOf(made)).toMatchObject({
    name: 'prod',
    isCurrent: true,
    context: {provider: 'aws', account: '123456789012', region: REGION},
  })
  const path = join(dir, 'clouder.yaml')
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  expect(await readFile(path, 'utf8')).not.toMatch(/testing|secret/i)
  expect(resultOf(await run('aws', 'info', '--json'))).toMatchObject({
    account: '123456789012',
    context: 'prod',
  })

  expect((await run('ctx', 'set', 'other', '--provider', 'aws', '--account', '999999999999')).exitCode).toBe(
    0,
  )
  const refused = await run('aws', 'info', '--json')
  expect(refused.exitCode).toBe(5)
  expect(resultOf(refused)).toMatchObject({code: 'ACCOUNT_MISMATCH'})
  const listed = await run('ctx', 'ls')
  expect(listed.stdout).toMatch(/other \*.*999999999999/)
  expect((await run('ctx', 'rm', 'other')).exitCode).toBe(0)
  expect((await run('ctx', 'show')).exitCode).toBe(9)
})

test('a plan for the wrong account ends before anything is made', async (context) => {
  const {run} = await commandLine(context)
  const argv = ['--provider', 'aws', '--account', '999999999999', '--region', REGION]
  await run('ctx', 'set', 'other', ...argv)
  const planned = await run(
    'kubeadm',
    'plan',
    'demo',
    '--provider',
    'aws',
    '--admin-cidr',
    '192.0.2.0/24',
    '--json',
  )
  expect(planned.exitCode).toBe(5)
  expect(resultOf(planned)).toMatchObject({code: 'ACCOUNT_MISMATCH'})
})

test('by tag everything of a cluster goes that nobody remembers, and a second time there is nothing', async (context) => {
  const {run} = await commandLine(context)
  if (moto === undefined) throw new TypeError('no emulator')
  const ec2 = new EC2Client({
    endpoint: moto.url,
    region: REGION,
    credentials: {accessKeyId: 'testing', secretAccessKey: 'testing'},
  })
  const ours = (kind: ResourceType) => ({
    TagSpecifications: [{ResourceType: kind, Tags: [{Key: 'clouder.dev/cluster', Value: 'demo'}]}],
  })
  await ec2.send(new CreateVpcCommand({CidrBlock: '10.0.0.0/16', ...ours('vpc')}))
  await ec2.send(new CreateVolumeCommand({AvailabilityZone: `${REGION}a`, Size: 1, ...ours('volume')}))
  const terminate = ['kubeadm', 'terminate', 'demo', '--by-tag', '--provider', 'aws', '--json']
  const planned = resultOf(await run(...terminate, '--dry-run'))
  expect(planned).toMatchObject({
    removed: [/^volume vol-/, /^network vpc-/].map((form) => expect.stringMatching(form) as unknown),
  })
  const unasked = await run(...terminate)
  expect(unasked.exitCode).toBe(3)
  expect(resultOf(unasked)).toMatchObject({code: 'FLAG_MISSING'})
  const done = await run(...terminate, '--yes')
  expect(done.exitCode).toBe(0)
  expect(resultOf(done)).toMatchObject({removed: {length: 2}})
  const again = await run(...terminate, '--yes')
  expect(again.exitCode).toBe(0)
  expect(resultOf(again)).toMatchObject({removed: []})
})

test('what a cluster costs is told of a file, with prices that ship where the cloud tells none', async (context) => {
  const {home: dir, run} = await commandLine(context)
  const file = join(dir, 'prod.yaml')
  await writeFile(
    file,
    [
      'apiVersion: clouder.dev/v1alpha1',
      'kind: Cluster',
      'metadata: {name: prod}',
      'spec:',
      `  provider: {kind: aws, aws: {region: ${REGION}}}`,
      '  access: {adminCidrs: [192.0.2.0/24]}',
      '  workers: [{count: 3, size: m6i.large}]',
    ].join('\n'),
  )
  const cost = await run('cost', '--config', file, '--json')
  expect(cost.exitCode).toBe(0)
  expect(resultOf(cost)).toMatchObject({cluster: 'prod', region: REGION, pricesOf: SHIPPED_DATE, unknown: []})
})
