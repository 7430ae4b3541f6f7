import {basename} from 'node:path'
import {z} from 'zod'
import {findOnPath} from '../base/program-path.ts'
import {TerraformError} from './errors.ts'
import {runReading} from './process.ts'
import type {Terraform} from './types.ts'

type Program = Terraform['program']
type Environment = Readonly<Record<string, string | undefined>>

const oldest = '1.6.0'
/** Both keep the lock beside the state in S3 from this version on; before, it took a table of DynamoDB. */
const oldestForS3 = '1.10.0'
const versionSchema = z.looseObject({terraform_version: z.string()})

/**
 * The `terraform`, else the `tofu`, of the PATH; CLOUDER_TERRAFORM names another, by name or path.
 * Throws TerraformError TERRAFORM_MISSING or TERRAFORM_TOO_OLD.
 */
export async function findProgram(environment: Environment, signal: AbortSignal): Promise<Program> {
  const wanted = environment['CLOUDER_TERRAFORM'] ?? ''
  const path = await locate(wanted === '' ? ['terraform', 'tofu'] : [wanted], environment['PATH'])
  if (path === undefined) {
    throw new TerraformError(
      'TERRAFORM_MISSING',
      wanted === ''
        ? 'found neither terraform nor tofu on the PATH'
        : `CLOUDER_TERRAFORM is ${wanted}, which is not an executable file`,
      {
        suggestions: [
          `install Terraform or OpenTofu, ${oldest} or newer; clouder does not download it`,
          'or set CLOUDER_TERRAFORM=/path/to/tofu',
        ],
      },
    )
  }
  const version = await versionOf(path, environment, signal)
  if (isOlder(version, oldest)) throw tooOld(path, version, `${oldest} or newer is needed`)
  return {name: basename(path).startsWith('tofu') ? 'tofu' : 'terraform', path, version}
}

/** Throws TerraformError TERRAFORM_TOO_OLD where the program cannot lock a state in this backend. */
export function checkBackend({path, version}: Program, backend: string): void {
  if (backend === 's3' && isOlder(version, oldestForS3))
    throw tooOld(path, version, `it cannot lock a state in S3, which needs ${oldestForS3} or newer`)
}

async function locate(names: readonly string[], path: string | undefined): Promise<string | undefined> {
  for (const name of names) {
    const found = await findOnPath(name, path)
    if (found !== undefined) return found
  }
  return undefined
}

async function versionOf(program: string, environment: Environment, signal: AbortSignal): Promise<string> {
  const {stdout, stderr, exitCode} = await runReading({
    program,
    args: ['version', '-json'],
    dir: '/',
    environment,
    signal: AbortSignal.any([signal, AbortSignal.timeout(30_000)]),
  })
  try {
    return versionSchema.parse(JSON.parse(stdout)).terraform_version
  } catch (cause) {
    const said = stderr.trim().split('\n').at(-1) ?? ''
    throw new TerraformError(
      'TERRAFORM_FAILED',
      `${program} did not print its version (exit code ${exitCode})${said === '' ? '' : `: ${said}`}`,
      {cause, suggestions: [`check its output: ${program} version -json`]},
    )
  }
}

function isOlder(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split(/[.-]/).map(Number))
  for (const at of [0, 1, 2]) {
    const difference = (a?.[at] ?? 0) - (b?.[at] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}

function tooOld(path: string, version: string, why: string): TerraformError {
  return new TerraformError('TERRAFORM_TOO_OLD', `${path} is ${version}: ${why}`, {
    suggestions: ['install a newer version, or put a newer one first on the PATH', `look: ${path} version`],
  })
}
