// (f) clouder's `infra apply` against `terraform init` and `apply` of the same JSON, each in an emulated account that is
// empty.
import {mkdtemp, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {stringify} from 'yaml'
import {DEBIAN, NO_BODY, REGION} from '../support/aws-cloud.ts'
import {startAwsFront} from '../support/aws-front.ts'
import {BUILD_COMMAND, cachedAwsProvider} from '../support/aws-provider.ts'
import {startMoto} from '../support/moto.ts'
import {packageRoot, run, type Bench} from './clusters.ts'
import type {Measured} from './results.ts'

const clouder = join(packageRoot, 'bin/run.js')

/** cluster.yaml. */
export const applyDocument = (workers: number) => ({
  apiVersion: 'clouder.dev/v1alpha1',
  kind: 'Cluster',
  metadata: {name: 'bench'},
  spec: {
    provider: {kind: 'aws', aws: {region: REGION, bastion: 'none', network: {cidr: '10.80.0.0/20'}}},
    controlPlane: {count: 1, size: 't3.medium'},
    workers: [{count: workers, size: 't3.large'}],
    access: {adminCidrs: ['203.0.113.0/24']},
  },
})

type Seconds = (argv: readonly [string, ...string[]], cwd: string) => Promise<number>
type Timed = (folder: string, seconds: Seconds) => Promise<number>

/** Seconds of a way to apply, in an account of its own. */
async function inFreshAccount(way: Timed, workers: number, signal: AbortSignal): Promise<number> {
  const provider = await cachedAwsProvider()
  if (provider === undefined)
    throw new Error(`the AWS provider was not built on this machine: ${BUILD_COMMAND}`)
  const folder = await mkdtemp(join(tmpdir(), 'clouder-bench-'))
  await using _folder = {[Symbol.asyncDispose]: () => rm(folder, {recursive: true, force: true})}
  const images = join(folder, 'images.json')
  await writeFile(images, JSON.stringify([DEBIAN]))
  await writeFile(join(folder, 'cluster.yaml'), stringify(applyDocument(workers)))
  await using moto = await startMoto({region: REGION, environment: {MOTO_AMIS_PATH: images}})
  await using front = await startAwsFront({emulator: moto, consoleOf: () => Promise.resolve(NO_BODY)})
  const environment = {
    ...front.environment,
    TF_CLI_CONFIG_FILE: provider.cliConfigFile,
    CLOUDER_HOME: join(folder, 'home'),
    CHECKPOINT_DISABLE: '1',
  }
  return await way(folder, async (argv, cwd) => (await run(argv, {cwd, environment, signal})).seconds)
}

const config = ['--config', 'cluster.yaml'] as const

const withClouder: Timed = (folder, seconds) =>
  seconds([process.execPath, clouder, 'infra', 'apply', ...config, '--yes'], folder)

/** What is synthesised is not on its clock: whoever has the JSON already needs nothing but Terraform. */
const withTerraform: Timed = async (folder, seconds) => {
  const stack = join(folder, 'stack')
  await seconds([process.execPath, clouder, 'infra', 'synth', ...config, '--out', stack], folder)
  const init = await seconds(['terraform', 'init', '-input=false'], stack)
  return init + (await seconds(['terraform', 'apply', '-input=false', '-auto-approve'], stack))
}

type Pair = Measured<'f'>['pairs'][number]

/** Pairs in turn; `beyond` is how long clouder took above 1.1 times Terraform's own. */
export async function againstTerraform(
  {pairs: wanted, workers}: {readonly pairs: number; readonly workers: number},
  {signal, tell}: Bench,
): Promise<Measured<'f'>> {
  const onePair = async (): Promise<Pair> => {
    const clouderSeconds = await inFreshAccount(withClouder, workers, signal)
    const terraformSeconds = await inFreshAccount(withTerraform, workers, signal)
    tell(`${clouderSeconds.toFixed(1)} s, ${terraformSeconds.toFixed(1)} s`)
    return {clouderSeconds, terraformSeconds}
  }
  const pairs: Measured<'f'>['pairs'] = [await onePair()]
  while (pairs.length < wanted) pairs.push(await onePair())
  const beyond = pairs
    .map(({clouderSeconds, terraformSeconds}) => clouderSeconds - 1.1 * terraformSeconds)
    .sort((one, other) => one - other)
  // Of an even number the higher one: a limit is held against it.
  return {pairs, beyond: beyond[Math.floor(beyond.length / 2)] ?? Number.NaN}
}
