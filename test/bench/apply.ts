// (f) `node apply.ts PAIRS`: clouder's `infra apply` against `terraform init` and `apply` of the same JSON, each in an
// emulated account that is empty; prints the pairs as JSON.
import {execFile} from 'node:child_process'
import {mkdtemp, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {stringify} from 'yaml'
import {DEBIAN, NO_BODY, REGION} from '../support/aws-cloud.ts'
import {startAwsFront} from '../support/aws-front.ts'
import {BUILD_COMMAND, cachedAwsProvider} from '../support/aws-provider.ts'
import {startMoto} from '../support/moto.ts'

const run = promisify(execFile)
const clouder = join(import.meta.dirname, '../../bin/run.js')
const document = {
  apiVersion: 'clouder.dev/v1alpha1',
  kind: 'Cluster',
  metadata: {name: 'bench'},
  spec: {
    provider: {kind: 'aws', aws: {region: REGION, bastion: 'none', network: {cidr: '10.80.0.0/20'}}},
    controlPlane: {count: 1, size: 't3.medium'},
    workers: [{count: 2, size: 't3.large'}],
    access: {adminCidrs: ['203.0.113.0/24']},
  },
}

type Timed = (
  environment: NodeJS.ProcessEnv,
  folder: string,
  seconds: (argv: readonly [string, ...string[]], cwd: string) => Promise<number>,
) => Promise<number>

/** Seconds of a way to apply, in an account of its own. */
async function inFreshAccount(way: Timed): Promise<number> {
  const provider = await cachedAwsProvider()
  if (provider === undefined)
    throw new Error(`the AWS provider was not built on this machine: ${BUILD_COMMAND}`)
  const folder = await mkdtemp(join(tmpdir(), 'clouder-bench-'))
  await using _folder = {[Symbol.asyncDispose]: () => rm(folder, {recursive: true, force: true})}
  const images = join(folder, 'images.json')
  await writeFile(images, JSON.stringify([DEBIAN]))
  await writeFile(join(folder, 'cluster.yaml'), stringify(document))
  await using moto = await startMoto({region: REGION, environment: {MOTO_AMIS_PATH: images}})
  await using front = await startAwsFront({emulator: moto, consoleOf: () => Promise.resolve(NO_BODY)})
  const environment = {
    ...process.env,
    ...front.environment,
    TF_CLI_CONFIG_FILE: provider.cliConfigFile,
    CLOUDER_HOME: join(folder, 'home'),
    CHECKPOINT_DISABLE: '1',
  }
  return await way(environment, folder, async ([program, ...args], cwd) => {
    const started = performance.now()
    await run(program, args, {cwd, env: environment, maxBuffer: 64 * 2 ** 20})
    return (performance.now() - started) / 1000
  })
}

const config = ['--config', 'cluster.yaml'] as const

const withClouder: Timed = (_environment, folder, seconds) =>
  seconds([process.execPath, clouder, 'infra', 'apply', ...config, '--yes'], folder)

/** What is synthesised is not on its clock: whoever has the JSON already needs nothing but Terraform. */
const withTerraform: Timed = async (_environment, folder, seconds) => {
  const stack = join(folder, 'stack')
  await seconds([process.execPath, clouder, 'infra', 'synth', ...config, '--out', stack], folder)
  const init = await seconds(['terraform', 'init', '-input=false'], stack)
  return init + (await seconds(['terraform', 'apply', '-input=false', '-auto-approve'], stack))
}

const pairs: {clouderSeconds: number; terraformSeconds: number}[] = []
for (let index = 0; index < Number(process.argv[2] ?? 3); index += 1) {
  const clouderSeconds = await inFreshAccount(withClouder)
  const terraformSeconds = await inFreshAccount(withTerraform)
  process.stderr.write(`${clouderSeconds.toFixed(1)} s, ${terraformSeconds.toFixed(1)} s\n`)
  pairs.push({clouderSeconds, terraformSeconds})
}
process.stdout.write(JSON.stringify(pairs))
