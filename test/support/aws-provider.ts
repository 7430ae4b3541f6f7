import {createHash} from 'node:crypto'
import {access, chmod, copyFile, mkdir, readFile, rename, rm, statfs, writeFile} from 'node:fs/promises'
import {homedir} from 'node:os'
import {dirname, join} from 'node:path'
import type {TestContext} from 'vitest'
import {runProcess} from '../../src/bundle/process.ts'
import {identifyProcess} from '../../src/base/process-identity.ts'
import {cacheDir} from '../../src/store/cache-dir.ts'

/** The release whose schema the typed bindings were made from, which is the version that a stack asks for. */
const VERSION = '6.25.0'
const MODULE = 'github.com/hashicorp/terraform-provider-aws'
/** Not in the public checksum database: go.sum beside this file holds its checksum. */
const FORK = 'github.com/upbound/terraform-provider-aws'
const FLAGS = ['-mod=readonly', '-buildvcs=false', '-trimpath', '-gcflags=all=-dwarf=false']
const LINKER_FLAGS = `-s -w -X ${MODULE}/version.ProviderVersion=${VERSION}`
/** What compiling leaves on the disk until it is done. */
const NEEDED_GIB = 20
const MODULE_FOLDER = join(import.meta.dirname, 'terraform-provider-aws')

/** How the provider is made where it is missing; takes half an hour on two idle cores. */
export const BUILD_COMMAND = 'npx tsx test/support/aws-provider-build.ts'

export interface AwsProvider {
  readonly version: string
  /** For TF_CLI_CONFIG_FILE: providers come from a folder of this machine, and from nowhere else. */
  readonly cliConfigFile: string
}

/** `<cache of the user>/clouder/test/terraform-provider-aws`. */
export const providerCache = (): string =>
  join(cacheDir(process.env, homedir()), 'test/terraform-provider-aws')

/** The provider that was built before from exactly these sources; undefined: it was not. */
export async function cachedAwsProvider(cache = providerCache()): Promise<AwsProvider | undefined> {
  const folder = join(cache, await sourcesHash())
  const cliConfigFile = join(folder, 'terraform.rc')
  const isThere = await Promise.all([access(cliConfigFile), access(join(folder, BINARY))]).then(
    () => true,
    () => false,
  )
  return isThere ? {version: VERSION, cliConfigFile} : undefined
}

/** Ends the test as skipped, with the command that helps, where the provider was not built. */
export async function needAwsProvider(context: TestContext): Promise<AwsProvider> {
  const provider = await cachedAwsProvider()
  if (provider !== undefined) return provider
  if (process.env['CLOUDER_REQUIRE_E2E'] === '1') throw new Error(MISSING)
  return context.skip(MISSING)
}

export const MISSING = `the AWS provider was not built on this machine: ${BUILD_COMMAND}`
const BINARY = join(
  'mirror/registry.terraform.io/hashicorp/aws',
  VERSION,
  `linux_${process.arch === 'arm64' ? 'arm64' : 'amd64'}`,
  `terraform-provider-aws_v${VERSION}`,
)

export interface BuildOptions {
  readonly cache: string
  readonly signal: AbortSignal
  readonly say: (line: string) => void
}

/**
 * Builds the provider and lays it out as Terraform wants it; nothing to do when it is there. A build that was stopped
 * goes on where it was, as what is compiled stays in a Go cache of its own until the end.
 */
export async function buildAwsProvider({cache, signal, say}: BuildOptions): Promise<AwsProvider> {
  const known = await cachedAwsProvider(cache)
  if (known !== undefined) return known
  const work = join(cache, 'work')
  await mkdir(work, {recursive: true})
  await using _lock = await onlyOne(join(cache, 'lock'))
  await needRoom(cache)
  for (const name of ['go.mod', 'go.sum']) await copyFile(join(MODULE_FOLDER, name), join(work, name))
  const built = join(work, 'terraform-provider-aws')
  say(`building the AWS provider ${VERSION} in ${work}`)
  await runProcess(['go', 'build', ...FLAGS, '-ldflags', LINKER_FLAGS, '-v', '-o', built, MODULE], {
    cwd: work,
    environment: {
      ...process.env,
      GOCACHE: join(work, 'gocache'),
      CGO_ENABLED: '0',
      GOFLAGS: '',
      GOWORK: 'off',
      GONOSUMDB: FORK,
    },
    signal,
    onLine: say,
  })
  await layOut(built, join(cache, await sourcesHash()))
  await rm(work, {recursive: true, force: true})
  const provider = await cachedAwsProvider(cache)
  if (provider === undefined) throw new Error(`the AWS provider is not where it belongs, below ${cache}`)
  return provider
}

async function layOut(built: string, folder: string): Promise<void> {
  const partial = `${folder}.partial`
  await rm(partial, {recursive: true, force: true})
  await mkdir(dirname(join(partial, BINARY)), {recursive: true})
  await chmod(built, 0o755)
  await rename(built, join(partial, BINARY))
  const mirror = JSON.stringify(join(folder, 'mirror'))
  const config = `disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n    path = ${mirror}\n  }\n}\n`
  await writeFile(join(partial, 'terraform.rc'), config)
  await rm(folder, {recursive: true, force: true})
  await rename(partial, folder)
}

async function sourcesHash(): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([VERSION, FLAGS, LINKER_FLAGS]))
  for (const name of ['go.mod', 'go.sum']) hash.update(await readFile(join(MODULE_FOLDER, name)))
  return hash.digest('hex').slice(0, 16)
}

async function needRoom(path: string): Promise<void> {
  const {bavail, bsize} = await statfs(path)
  const freeGiB = (bavail * bsize) / 2 ** 30
  if (freeGiB < NEEDED_GIB)
    throw new Error(`building needs ${NEEDED_GIB} GiB of disk, ${path} has ${Math.round(freeGiB)} free`)
}

/** Two builds at once would remove each other's work. The lock of a process that is gone does not count. */
async function onlyOne(path: string): Promise<AsyncDisposable> {
  const take = () => writeFile(path, String(process.pid), {flag: 'wx'})
  try {
    await take()
  } catch (error) {
    const holder = Number(await readFile(path, 'utf8').catch(() => ''))
    if (holder > 0 && (await identifyProcess(holder)) !== undefined)
      throw new Error(`process ${holder} builds it already`, {cause: error})
    await rm(path, {force: true})
    await take()
  }
  return {[Symbol.asyncDispose]: () => rm(path, {force: true})}
}
