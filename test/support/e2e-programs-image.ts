import {existsSync} from 'node:fs'
import {mkdir, mkdtemp, readdir, readFile, rm} from 'node:fs/promises'
import {homedir} from 'node:os'
import {dirname, join} from 'node:path'
import type {TestContext} from 'vitest'
import {resolvePackages, unpackPackages} from '../../src/bundle/debian.ts'
import type {DebianRecipe} from '../../src/bundle/debian-recipes.ts'
import {moveFolder, sha256Of} from '../../src/bundle/digest.ts'
import {imageTree, selectFiles} from '../../src/bundle/portable.ts'
import type {SourceContext} from '../../src/bundle/source.ts'
import type {TreeEntry} from '../../src/bundle/tar.ts'
import {BundleError} from '../../src/bundle/errors.ts'
import {containerName} from '../../src/infrastructure/providers/local-decision.ts'
import {cacheDir} from '../../src/store/cache-dir.ts'
import type {E2eCluster} from './e2e-cluster.ts'
import {writeImageTar} from './image-tar.ts'

/** Debian's Python, Redis, PostgreSQL and shell, as a pod names them. */
export const PROGRAMS_IMAGE = 'clouder.test/programs:1'

const SHELL_TOOLS =
  'cat chmod chown cut date echo head ls mkdir mkfifo mv rm sha256sum sleep stat tail touch wc'.split(' ')
/** Versions in paths: of Python (`python3.13`) and PostgreSQL (`17`). */
interface Versions {
  readonly python: string
  readonly postgres: string
}
const TRIPLETS = {amd64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu'} as const
type Arch = keyof typeof TRIPLETS
const recipeFor = ({python, postgres}: Versions, arch: Arch): DebianRecipe => ({
  from: 'debian',
  suite: 'stable',
  packages: [
    ...['python3-minimal', 'redis-server', 'postgresql', 'libuid-wrapper', 'dash', 'coreutils', 'grep'],
  ],
  programs: [
    {path: `usr/bin/${python}`, names: ['python3']},
    {path: 'usr/bin/redis-server'},
    {path: 'usr/bin/redis-cli'},
    // Of its libraries those that a new database loads: the one for LLVM is larger than the rest of the image.
    ...['bin/initdb', 'bin/postgres', 'bin/psql', 'lib/dict_snowball.so', 'lib/plpgsql.so'].map((file) => ({
      path: `usr/lib/postgresql/${postgres}/${file}`,
    })),
    {path: `usr/lib/${TRIPLETS[arch]}/libuid_wrapper.so`},
    {path: 'usr/bin/dash', names: ['sh']},
    {path: 'usr/bin/grep'},
    ...SHELL_TOOLS.map((name) => ({path: `usr/bin/${name}`})),
  ],
  plugins: [],
})
const NO_VERSIONS: Versions = {python: '', postgres: ''}
/** Folders that a container has and no package. */
const FOLDERS = ['tmp', 'data', 'claim', 'proc', 'sys', 'dev', 'etc']
const AWAY =
  /Failed to fetch|Could not (resolve|connect)|Temporary failure|has no source|does not run Debian|not found/

/**
 * The image as an OCI layout in a tar, made of this machine's own package sources without a registry, and kept in the
 * cache. Ends the test as skipped, with the reason, where packages cannot be had; as failed where every test must run.
 */
export async function needPrograms(context: TestContext): Promise<string> {
  try {
    return await programsImage(context.signal)
  } catch (error) {
    const isAway = error instanceof BundleError && AWAY.test(error.message)
    if (!isAway || process.env['CLOUDER_REQUIRE_E2E'] === '1') throw error
    return context.skip(`needs Debian's packages: ${error.message.slice(0, 300)}`)
  }
}

async function programsImage(signal: AbortSignal): Promise<string> {
  const cache = cacheDir(process.env, homedir())
  const arch: Arch = process.arch === 'arm64' ? 'arm64' : 'amd64'
  const key = sha256Of(JSON.stringify([recipeFor(NO_VERSIONS, arch), FOLDERS])).slice(0, 12)
  const dir = join(cache, 'test', `programs-${key}-${arch}`)
  const path = join(dir, 'image.tar')
  if (existsSync(path)) return path
  await mkdir(dirname(dir), {recursive: true})
  const context: SourceContext = {
    arch,
    kubernetes: '',
    workDir: join(cache, 'work'),
    packageRoot: join(import.meta.dirname, '../..'),
    environment: process.env,
    signal,
    progress: () => undefined,
  }
  await mkdir(join(context.workDir, 'debian'), {recursive: true})
  const partial = await mkdtemp(`${dir}.partial-`)
  try {
    const tree = await treeOf(context)
    const image = {name: PROGRAMS_IMAGE, arch, entrypoint: [], command: ['/bin/sh']}
    await writeImageTar(
      image,
      tree,
      {blobDir: join(partial, 'blobs'), path: join(partial, 'image.tar')},
      signal,
    )
    await rm(join(partial, 'blobs'), {recursive: true})
    await moveFolder(partial, dir)
  } finally {
    await rm(partial, {recursive: true, force: true})
  }
  return path
}

async function treeOf(context: SourceContext): Promise<readonly TreeEntry[]> {
  const {arch} = context
  const {packages: names, suite} = recipeFor(NO_VERSIONS, arch)
  const packages = await resolvePackages(names, suite, context)
  const trees = await unpackPackages(packages, suite, context)
  const [library] = trees.filter(({item}) => /^libpython3\.\d+-minimal$/.test(item.name))
  const [python] = /python3\.\d+/.exec(library?.item.name ?? '') ?? []
  if (library === undefined || python === undefined) throw new Error('Debian has no minimal Python 3')
  const database = trees.find(({item}) => /^postgresql-\d+$/.test(item.name))
  if (database === undefined) throw new Error('Debian has no PostgreSQL')
  const postgres = database.item.name.slice('postgresql-'.length)
  const recipe = recipeFor({python, postgres}, arch)
  return [
    ...imageTree(recipe, await selectFiles(recipe, trees, arch), arch),
    ...(await filesBelow(library.dir, `usr/lib/${python}`)),
    ...(await filesBelow(database.dir, `usr/share/postgresql/${postgres}`)),
    ...FOLDERS.map((folder) => ({path: `${folder}/.keep`, text: '', mode: 0o644})),
  ]
}

async function filesBelow(root: string, folder: string): Promise<readonly TreeEntry[]> {
  const entries = await readdir(join(root, folder), {withFileTypes: true, recursive: true})
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((file) => ({path: file.slice(root.length + 1), file, mode: 0o644}))
}

/** Puts the image into the runtime of a machine. */
export async function givePrograms(cluster: E2eCluster, machine: string, image: string): Promise<void> {
  const path = '/var/tmp/programs.tar.b64'
  // The engine takes text.
  const content = (await readFile(image)).toString('base64')
  await cluster.engine.putFile(containerName(cluster.name, machine), {path, content, mode: 0o600})
  await cluster.read(machine, `base64 -d ${path} | ctr -n k8s.io images import - && rm ${path}`)
}
