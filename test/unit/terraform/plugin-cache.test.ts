import {existsSync} from 'node:fs'
import {mkdir, readFile, writeFile} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {expect, test} from 'vitest'
import {LOCK_FILE} from '../../../src/terraform/plan-file.ts'
import {hasOwnPlugins, withPluginCache, type PluginCache} from '../../../src/terraform/plugin-cache.ts'
import {withTempFolder} from '../../support/temp-folder.ts'

const program = {name: 'terraform', path: '/fake/terraform', version: '1.11.4'} as const
const HOUR_MS = 3_600_000
const nobody: AsyncDisposable = {[Symbol.asyncDispose]: () => Promise.resolve()}

interface Bench {
  readonly cache: PluginCache
  /** Inits in a new folder, with what Terraform found there at its start; `downloads`: what it then writes. */
  readonly init: (how?: {version?: string; fails?: boolean; cache?: PluginCache | undefined}) => Promise<Seen>
}
interface Seen {
  readonly taken: string | undefined
  readonly cacheDir: string | undefined
}

function withBench(use: (bench: Bench) => Promise<void>): () => Promise<void> {
  return () =>
    withTempFolder(async (home) => {
      const versionsDir = join(home, 'versions')
      await mkdir(versionsDir)
      const cache: PluginCache = {
        dir: join(home, 'plugins'),
        versionsDir,
        lock: () => Promise.resolve(nobody),
        now: Date.now,
      }
      let count = 0
      const init: Bench['init'] = async ({version = '~> 6.0', fails = false, ...how} = {}) => {
        const dir = join(home, `cluster-${(count += 1)}`)
        await mkdir(dir)
        const configuration = {terraform: {required_providers: {aws: {version}}}}
        await writeFile(join(dir, 'cdk.tf.json'), JSON.stringify(configuration))
        const lockFile = join(dir, LOCK_FILE)
        const seen: {taken: string | undefined; cacheDir: string | undefined} = {
          taken: undefined,
          cacheDir: undefined,
        }
        const used = 'cache' in how ? how.cache : cache
        await withPluginCache(used, {dir, program}, async (variables) => {
          seen.cacheDir = variables['TF_PLUGIN_CACHE_DIR']
          seen.taken = existsSync(lockFile) ? await readFile(lockFile, 'utf8') : undefined
          if (fails) throw new Error('no network')
          await writeFile(lockFile, seen.taken ?? `checksums of download ${count}`)
        })
        return seen
      }
      await use({cache, init})
    })
}

test(
  'the second folder of a configuration takes over the checksums of the first, another configuration does not',
  withBench(async ({cache, init}) => {
    expect(await init()).toEqual({taken: undefined, cacheDir: cache.dir})
    expect(await init()).toEqual({taken: 'checksums of download 1', cacheDir: cache.dir})
    expect((await init({version: '~> 7.0'})).taken).toBeUndefined()
  }),
)

test(
  'a day later it is looked for newer versions again',
  withBench(async ({cache, init}) => {
    await init()
    const later = {...cache, now: () => Date.now() + 25 * HOUR_MS}
    expect((await init({cache: later})).taken).toBeUndefined()
    expect((await init()).taken).toBe('checksums of download 2')
  }),
)

test(
  'what an init failed with is not taken over again',
  withBench(async ({init}) => {
    await init()
    await expect(init({fails: true})).rejects.toThrow('no network')
    expect((await init()).taken).toBeUndefined()
  }),
)

test(
  'while another process fills the cache, and without one, Terraform is left alone',
  withBench(async ({cache, init}) => {
    await init()
    const nothing = {taken: undefined, cacheDir: undefined}
    expect(await init({cache: {...cache, lock: () => Promise.resolve(undefined)}})).toEqual(nothing)
    expect(await init({cache: undefined})).toEqual(nothing)
  }),
)

test.each<readonly [string, Readonly<Record<string, string>>, Readonly<Record<string, string>>, boolean]>([
  ['nothing', {}, {}, false],
  ['a cache by its variable', {TF_PLUGIN_CACHE_DIR: '/cache'}, {}, true],
  ['no cache by its variable', {TF_PLUGIN_CACHE_DIR: ''}, {}, true],
  ['credentials alone', {}, {'.terraformrc': 'credentials "app.terraform.io" {}'}, false],
  ['a cache in the usual file', {}, {'.terraformrc': 'plugin_cache_dir = "x"'}, true],
  ['a cache that is commented out', {}, {'.terraformrc': '# plugin_cache_dir = "x"'}, false],
  ['a mirror for OpenTofu', {}, {'.config/opentofu/tofurc': 'provider_installation {\n}'}, true],
  ['a mirror in JSON', {}, {'.terraform.d/a.tfrc.json': '{\n"provider_installation": {}}'}, true],
  [
    'a mirror in a file that is named',
    {TF_CLI_CONFIG_FILE: 'HOME/x'},
    {x: ' provider_installation {}'},
    true,
  ],
  [
    'a file that is named instead',
    {TF_CLI_CONFIG_FILE: 'HOME/x'},
    {'.terraformrc': 'plugin_cache_dir = "x"'},
    false,
  ],
  ['a folder that is a mirror', {}, {'.terraform.d/plugins/any': ''}, true],
])('%s: the user says where providers come from', async (_, variables, files, isOwn) => {
  await withTempFolder(async (home) => {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(home, name)), {recursive: true})
      await writeFile(join(home, name), text)
    }
    const environment = Object.fromEntries(
      Object.entries(variables).map(([name, value]) => [name, value.replace('HOME', home)]),
    )
    expect(await hasOwnPlugins(environment, home)).toBe(isOwn)
  })
})
