import {generateKeyPairSync} from 'node:crypto'
import {mkdtemp, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {EC2Client} from '@aws-sdk/client-ec2'
import type {TestContext} from 'vitest'
import type {OwnedResource} from '../../src/infrastructure/clouds/cloud.ts'
import {openCloud} from '../../src/infrastructure/clouds/open.ts'
import type {ContainerEngine} from '../../src/infrastructure/containers/container-engine.ts'
import {awsBodies, type AwsBodies} from './aws-bodies.ts'
import {startAwsFront, type AwsFront} from './aws-front.ts'
import {needAwsProvider} from './aws-provider.ts'
import {clouder, type CliOptions, type CliResult} from './cli.ts'
import {needMoto} from './moto.ts'

export const REGION = 'eu-central-1'

/** An account of the emulator, the real provider of Terraform, and a user who has both. */
export interface AwsHere {
  readonly front: AwsFront
  /** Undefined: machines have consoles, and nothing behind them. */
  readonly bodies: AwsBodies | undefined
  readonly ec2: EC2Client
  /** CLOUDER_HOME. */
  readonly home: string
  /** A folder for the files of the test. */
  readonly dir: string
  /** The user's variables beside those of this process. */
  readonly environment: Readonly<Record<string, string>>
  /** Everything the CLI wrote so far. */
  readonly said: readonly string[]
  clouder(args: readonly string[], options?: Partial<CliOptions>): Promise<CliResult>
  /** Everything in the account that carries the cluster's tags. */
  owned(cluster: string): Promise<readonly OwnedResource[]>
}

export interface AwsOptions {
  /** Gives machines bodies on a network with these addresses, the VPC's. */
  readonly bodies?: {readonly engine: ContainerEngine; readonly vpcCidr: string}
}

/** Skips aloud where the provider or the emulator is missing. Everything is gone after, also when the body throws. */
export async function withAws(
  test: TestContext,
  {bodies: wanted}: AwsOptions,
  body: (aws: AwsHere) => Promise<void>,
): Promise<void> {
  const provider = await needAwsProvider(test)
  const dir = await mkdtemp(join(tmpdir(), 'clouder-aws-'))
  await using _folder = {[Symbol.asyncDispose]: () => rm(dir, {recursive: true, force: true})}
  const images = join(dir, 'images.json')
  await writeFile(images, JSON.stringify([DEBIAN]))
  await using moto = await needMoto(test, {region: REGION, environment: {MOTO_AMIS_PATH: images}})
  await using bodies = wanted === undefined ? undefined : await awsBodies({...wanted, emulator: moto, dir})
  const consoleOf = (id: string) => bodies?.consoleOf(id) ?? Promise.resolve(NO_BODY)
  await using front = await startAwsFront({emulator: moto, consoleOf})
  // The SDK in this process reads the same variables as the user's programs.
  using _environment = withVariables(front.environment)
  const home = join(dir, 'home')
  const said: string[] = []
  const environment = {...front.environment, TF_CLI_CONFIG_FILE: provider.cliConfigFile}
  const ec2 = new EC2Client({})
  await body({
    front,
    bodies,
    ec2,
    home,
    dir,
    environment,
    said,
    clouder: async (args, options = {}) => {
      const own = {...environment, ...options.environment}
      const result = await clouder(args, {home, timeoutMs: 1_500_000, ...options, environment: own})
      said.push(result.stdout, result.stderr)
      return result
    },
    owned: async (cluster) => {
      const cloud = await openCloud({kind: 'aws', region: REGION, signal: test.signal})
      return cloud.findOwned(cluster, test.signal)
    },
  })
  ec2.destroy()
}

/** As Debian publishes its images; the emulator has none of its own. */
export const DEBIAN = {
  ami_id: 'ami-0deb1a00000000013',
  name: 'debian-13-amd64-20260101-0001',
  description: 'Debian 13',
  owner_id: '136693071363',
  public: true,
  state: 'available',
  architecture: 'x86_64',
  virtualization_type: 'hvm',
  hypervisor: 'xen',
  image_type: 'machine',
  image_location: 'amazon/debian-13-amd64-20260101-0001',
  root_device_type: 'ebs',
  root_device_name: '/dev/xvda',
  sriov: 'simple',
}

/** Console of a machine that nobody will connect to. */
export const NO_BODY = [
  '-----BEGIN SSH HOST KEY KEYS-----',
  `ssh-ed25519 ${anyKey()} root@nobody`,
  '-----END SSH HOST KEY KEYS-----',
  '',
].join('\n')

/** RFC 8709 4: the type's name and 32 bytes, each with its length before it. */
function anyKey(): string {
  const der = generateKeyPairSync('ed25519').publicKey.export({type: 'spki', format: 'der'})
  const field = (bytes: Buffer): Buffer => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    return Buffer.concat([length, bytes])
  }
  return Buffer.concat([field(Buffer.from('ssh-ed25519')), field(der.subarray(-32))]).toString('base64')
}

/** Variables of this process, without others of AWS, until it is disposed of. */
export function withVariables(variables: Readonly<Record<string, string>>): Disposable {
  const before = process.env
  const kept = Object.entries(before).filter(([name]) => !name.startsWith('AWS_'))
  process.env = {...Object.fromEntries(kept), ...variables}
  return {
    [Symbol.dispose]: () => {
      process.env = before
    },
  }
}
