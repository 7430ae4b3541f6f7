import {mkdir, writeFile} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {ClouderError, ConfigError} from '../src/base/errors.ts'
import {cloudInitOf} from '../src/spec/cloud-init.ts'
import type {ClusterSpec} from '../src/spec/cluster-spec.ts'
import {loadSpec, readSpecFile} from '../src/spec/load.ts'
import type {StackInput, TerraformJson} from './input.ts'

// For pipelines that run Terraform themselves, and for `cdktf synth`: CLOUDER_CONFIG (or the argument, or cluster.yaml)
// becomes cdktf.out/stacks/<name>/cdk.tf.json. The nodes let in who holds the private key of CLOUDER_SSH_PUBLIC_KEY.

type Environment = Readonly<Record<string, string | undefined>>

try {
  const path = await writeStack(process.argv[2], process.env)
  process.stdout.write(`${path}\n`)
} catch (error) {
  if (!(error instanceof ClouderError)) throw error
  const problems = error instanceof ConfigError ? error.problems : []
  const lines = problems.map(({path, problem}) => `  ${path}: ${problem}`)
  const fixes = error.suggestions.map((suggestion) => `  * ${suggestion}`)
  process.stderr.write([`Error: ${error.message}`, ...lines, ...fixes, ''].join('\n'))
  process.exitCode = error.exitCode
}

/** Writes the stack, and the manifest by which the cdktf CLI finds it; gives the stack's path. Throws ConfigError. */
async function writeStack(argument: string | undefined, environment: Environment): Promise<string> {
  const file = argument ?? environment['CLOUDER_CONFIG'] ?? 'cluster.yaml'
  const spec = loadSpec({text: await readSpecFile(file), file})
  const json = await synthesise(spec, publicKeyOf(environment))
  const out = environment['CDKTF_OUTDIR'] ?? 'cdktf.out'
  const inside = join('stacks', spec.name, 'cdk.tf.json')
  await mkdir(join(out, dirname(inside)), {recursive: true})
  await writeFile(join(out, inside), `${JSON.stringify(json, undefined, 2)}\n`)
  await writeFile(
    join(out, 'manifest.json'),
    `${JSON.stringify(manifestOf(spec.name, inside), undefined, 2)}\n`,
  )
  return join(out, inside)
}

async function synthesise(spec: ClusterSpec, sshPublicKey: string): Promise<TerraformJson> {
  const input: StackInput = {spec, sshPublicKey, cloudInit: cloudInitOf(sshPublicKey), imageIds: {}}
  const {kind, aws, azure} = spec.provider
  // Each alone is heavy to load.
  if (kind === 'aws') {
    if (aws.region === undefined) throw missing('spec.provider.aws.region', 'eu-central-1')
    return (await import('./aws.ts')).synthesiseAws(input)
  }
  if (kind === 'azure') {
    if (azure.location === undefined) throw missing('spec.provider.azure.location', 'westeurope')
    return (await import('./azure.ts')).synthesiseAzure(input)
  }
  throw new ConfigError('CONFIG_INVALID', `provider ${kind} has no stack: only aws and azure have`, {
    suggestions: ['set spec.provider.kind to aws or azure'],
  })
}

function publicKeyOf(environment: Environment): string {
  const key = (environment['CLOUDER_SSH_PUBLIC_KEY'] ?? '').trim()
  if (/^ssh-ed25519 [A-Za-z0-9+/=]+/.test(key)) return key
  throw new ConfigError('CONFIG_INVALID', 'CLOUDER_SSH_PUBLIC_KEY is not `ssh-ed25519 …`, one line', {
    suggestions: [
      "make a key once: ssh-keygen -t ed25519 -N '' -f clouder-key",
      'export CLOUDER_SSH_PUBLIC_KEY="$(cat clouder-key.pub)"',
    ],
  })
}

function missing(path: string, example: string): ConfigError {
  return new ConfigError('CONFIG_INVALID', `${path} is needed where no context fills it in`, {
    suggestions: [`set ${path}: ${example}`],
  })
}

/** What the cdktf CLI reads: https://developer.hashicorp.com/terraform/cdktf/create-and-deploy/configuration-file */
function manifestOf(name: string, synthesizedStackPath: string): Readonly<Record<string, unknown>> {
  const stack = {
    name,
    constructPath: name,
    synthesizedStackPath,
    workingDirectory: dirname(synthesizedStackPath),
    annotations: [],
    dependencies: [],
  }
  return {version: '0.21.0', stacks: {[name]: stack}}
}
