import {createHash} from 'node:crypto'
import {existsSync} from 'node:fs'
import {constants, copyFile, mkdir, readdir, readFile, rm, stat} from 'node:fs/promises'
import {join} from 'node:path'
import {z} from 'zod'
import {LOCK_FILE} from './plan-file.ts'
import type {Terraform} from './types.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** Where providers that were downloaded are kept for other folders: each has hundreds of megabytes. */
export interface PluginCache {
  readonly dir: string
  /** Where it is remembered which versions they are, with their checksums. */
  readonly versionsDir: string
  /** Terraform's cache is not for two at a time; undefined: another process fills it, or it cannot be written. */
  readonly lock: () => Promise<AsyncDisposable | undefined>
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/** How long versions are taken over; afterwards it is looked for newer ones again. */
const versionsLastMs = 24 * 3_600_000

/**
 * Runs an init with the cache. What it holds is used only where a lock file has its checksums, so a folder that has
 * none takes over that of the last download for the same configuration: a plan and the apply after it download once.
 */
export async function withPluginCache(
  cache: PluginCache | undefined,
  {dir, program}: {readonly dir: string; readonly program: Terraform['program']},
  init: (variables: Environment) => Promise<void>,
): Promise<void> {
  await using lock = await cache?.lock()
  if (cache === undefined || lock === undefined) {
    await init({})
    return
  }
  await mkdir(cache.dir, {recursive: true, mode: 0o700})
  const [own, known] = [join(dir, LOCK_FILE), await versionsFile(cache, dir, program)]
  const isNew = !existsSync(own)
  const isTaken = isNew && (await isFresh(known, cache))
  if (isTaken) await copyFile(known, own, constants.COPYFILE_EXCL)
  try {
    await init({TF_PLUGIN_CACHE_DIR: cache.dir})
  } catch (error) {
    // Whatever it was, the next run begins without what was taken over.
    if (isTaken) await Promise.all([own, known].map((path) => rm(path, {force: true})))
    throw error
  }
  if (isNew && !isTaken && existsSync(own)) await copyFile(own, known)
}

const configurationSchema = z.looseObject({
  terraform: z.looseObject({required_providers: z.unknown().optional()}).default({}),
})

/** One for each program and set of providers: theirs are not the same registries. */
async function versionsFile(
  {versionsDir}: PluginCache,
  dir: string,
  {name}: Terraform['program'],
): Promise<string> {
  const text = await readFile(join(dir, 'cdk.tf.json'), 'utf8')
  const {terraform} = configurationSchema.parse(JSON.parse(text))
  const wanted = JSON.stringify([name, terraform.required_providers ?? {}])
  return join(versionsDir, `${createHash('sha256').update(wanted).digest('hex').slice(0, 16)}.lock.hcl`)
}

async function isFresh(path: string, {now}: PluginCache): Promise<boolean> {
  return existsSync(path) && (await stat(path)).mtimeMs > now() - versionsLastMs
}

/**
 * Whether the user told Terraform where providers come from, or to cache them: by a variable, in its CLI
 * configuration, or by a folder that it takes for a mirror. Then that holds and nothing is added. See
 * developer.hashicorp.com/terraform/cli/config/config-file.
 */
export async function hasOwnPlugins(environment: Environment, userHome: string): Promise<boolean> {
  if (environment['TF_PLUGIN_CACHE_DIR'] !== undefined) return true
  const data = environment['XDG_DATA_HOME'] ?? join(userHome, '.local', 'share')
  const shared = [data, '/usr/local/share', '/usr/share'].flatMap((root) =>
    ['terraform', 'opentofu'].map((name) => join(root, name, 'plugins')),
  )
  if ([join(userHome, '.terraform.d', 'plugins'), ...shared].some(existsSync)) return true
  for (const file of await configurationFiles(environment, userHome)) {
    if (/^[\s{]*"?(plugin_cache_dir|provider_installation)\b/m.test(await readFile(file, 'utf8'))) return true
  }
  return false
}

async function configurationFiles(environment: Environment, userHome: string): Promise<readonly string[]> {
  const named = environment['TF_CLI_CONFIG_FILE'] ?? environment['TERRAFORM_CONFIG'] ?? ''
  const config = environment['XDG_CONFIG_HOME'] ?? join(userHome, '.config')
  const usual = ['.terraformrc', '.tofurc'].map((name) => join(userHome, name))
  const main = named === '' ? [...usual, join(config, 'opentofu', 'tofurc')] : [named]
  const folder = join(userHome, '.terraform.d')
  const more = existsSync(folder)
    ? (await readdir(folder)).filter((name) => /\.tfrc(\.json)?$/.test(name))
    : []
  return [...main, ...more.map((name) => join(folder, name))].filter(existsSync)
}
