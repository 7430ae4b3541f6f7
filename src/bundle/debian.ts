import {existsSync} from 'node:fs'
import {mkdir, mkdtemp, readFile, readdir, rm, writeFile} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {z} from 'zod'
import {fetchOptions} from '../base/apt-sources.ts'
import {writeDurably} from '../base/durable-files.ts'
import {BundleError} from './errors.ts'
import {debianSources, type DebianSource, type SuiteKind} from './debian-suites.ts'
import {digestFile, moveFolder, sha256Of} from './digest.ts'
import {requireProgram, runProcess} from './process.ts'
import type {SourceContext} from './source.ts'

const packageSchema = z.strictObject({
  name: z.string(),
  version: z.string(),
  suite: z.string(),
  sizeBytes: z.int(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
})

/** A Debian package in exactly one version, as apt's signed index names it. */
export type DebianPackage = Readonly<z.output<typeof packageSchema>>

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
const FIX = 'apt-get install -y apt dpkg debian-archive-keyring'

/**
 * The packages and everything they depend on, resolved by apt in a root of its own as if nothing were installed.
 * Kept in `workDir`, so that a second build gets the same versions without asking the network.
 */
export async function resolvePackages(
  names: readonly string[],
  suite: SuiteKind,
  context: SourceContext,
): Promise<readonly DebianPackage[]> {
  const key = sha256Of(names.join(' ')).slice(0, 12)
  const kept = join(context.workDir, 'debian', `${suite}-${context.arch}-${key}.json`)
  if (existsSync(kept)) return z.array(packageSchema).parse(JSON.parse(await readFile(kept, 'utf8')))
  const apt = await openAptRoot(suite, context)
  const closure = await apt('apt-get', 'install', '--print-uris', '-qq', '--no-install-recommends', ...names)
  // 'URI' file_version_arch.deb size hash: versions have their colons escaped.
  const wanted = [...closure.matchAll(/^'\S+' (?<file>\S+\.deb) /gm)].map((match) => {
    const [name = '', version = ''] = (match.groups?.['file'] ?? '').split('_')
    return `${name}=${decodeURIComponent(version)}`
  })
  const described = await apt('apt-cache', 'show', ...wanted)
  const packages = described.split('\n\n').flatMap((stanza) => parseStanza(stanza, suite))
  await writeDurably(kept, JSON.stringify(packages), {mode: 0o644})
  return packages
}

/** Unpacks each package once and gives its folder. Throws BundleError BUNDLE_DIGEST_WRONG. */
export async function unpackPackages(
  packages: readonly DebianPackage[],
  suite: SuiteKind,
  context: SourceContext,
): Promise<readonly {readonly item: DebianPackage; readonly dir: string}[]> {
  const trees = packages.map((item) => ({
    item,
    dir: join(context.workDir, 'debian', 'unpacked', item.sha256),
  }))
  const absent = trees.filter(({dir}) => !existsSync(dir))
  if (absent.length === 0) return trees
  context.progress(`downloading ${absent.length} Debian packages`)
  const downloads = await mkdtemp(join(context.workDir, 'debian', `downloads-${context.arch}-`))
  try {
    const apt = await openAptRoot(suite, context, downloads)
    await apt('apt-get', 'download', '-qq', ...absent.map(({item}) => `${item.name}=${item.version}`))
    for (const {item, dir} of absent) await unpack(item, dir, downloads, context)
  } catch (error) {
    if (!context.signal.aborted) await forgetIndex(suite, context)
    throw error
  } finally {
    await rm(downloads, {recursive: true, force: true})
  }
  return trees
}

/** A mirror that has moved on no longer has what was resolved; the next run resolves again. */
async function forgetIndex(suite: SuiteKind, context: SourceContext): Promise<void> {
  const dir = join(context.workDir, 'debian')
  for (const name of await readdir(dir)) {
    const isOfSuite = name.startsWith(`${suite}-${context.arch}-`) || name === `apt-${suite}-${context.arch}`
    if (isOfSuite) await rm(join(dir, name), {recursive: true, force: true})
  }
}

async function unpack(
  item: DebianPackage,
  dir: string,
  downloads: string,
  context: SourceContext,
): Promise<void> {
  const version = item.version.replaceAll(':', '%3a')
  const candidates = [context.arch, 'all'].map((arch) =>
    join(downloads, `${item.name}_${version}_${arch}.deb`),
  )
  const file = candidates.find((path) => existsSync(path))
  if (file === undefined)
    throw new BundleError('BUILD_FAILED', `apt did not download ${item.name} ${item.version}`)
  const {sha256: found} = await digestFile(file, context.signal)
  if (found !== item.sha256) {
    throw new BundleError(
      'BUNDLE_DIGEST_WRONG',
      `${file} has sha256 ${found}, the index lists ${item.sha256}`,
    )
  }
  const partial = join(downloads, item.sha256)
  await mkdir(partial)
  await mkdir(dirname(dir), {recursive: true})
  await runProcess(['dpkg-deb', '--extract', file, partial], {
    cwd: context.workDir,
    environment: context.environment,
    signal: context.signal,
  })
  await moveFolder(partial, dir)
}

function parseStanza(stanza: string, suite: string): readonly DebianPackage[] {
  const fields = new Map([...stanza.matchAll(/^(\S+): (.*)$/gm)].map((match) => [match[1], match[2]]))
  if (!fields.has('Package')) return []
  return [
    packageSchema.parse({
      name: fields.get('Package'),
      version: fields.get('Version'),
      suite,
      sizeBytes: Number(fields.get('Size')),
      sha256: fields.get('SHA256'),
    }),
  ]
}

type Apt = (program: 'apt-get' | 'apt-cache', ...args: readonly string[]) => Promise<string>

/** An apt that shares nothing with the machine's but its mirrors, keys, credentials and proxy settings. */
async function openAptRoot(suite: SuiteKind, context: SourceContext, cwd = context.workDir): Promise<Apt> {
  for (const program of ['apt-get', 'apt-cache', 'dpkg-deb']) {
    await requireProgram(program, FIX, context.environment)
  }
  const root = join(context.workDir, 'debian', `apt-${suite}-${context.arch}`)
  const isNew = !existsSync(join(root, 'updated'))
  const environment = {...context.environment, APT_CONFIG: join(root, 'apt.conf'), LC_ALL: 'C.UTF-8'}
  const apt: Apt = (program, ...args) =>
    runProcess([program, ...args], {cwd, environment, signal: context.signal})
  if (!isNew) return apt
  context.progress(`reading Debian's package index (${suite})`)
  for (const folder of ['lists/partial', 'cache/archives/partial', 'state', 'sources']) {
    await mkdir(join(root, folder), {recursive: true})
  }
  const sources = await debianSources(suite)
  await writeFile(join(root, 'sources', 'clouder.sources'), sources.map(renderSource).join('\n'))
  await writeFile(join(root, 'state', 'status'), '')
  await writeFile(join(root, 'apt.conf'), await renderConfig(root, context))
  await apt('apt-get', 'update', '-qq')
  await writeFile(join(root, 'updated'), '')
  return apt
}

function renderSource(source: DebianSource): string {
  return [
    'Types: deb',
    `URIs: ${source.uri}`,
    `Suites: ${source.suite}`,
    `Components: ${source.component}`,
    ...(source.allowExpired ? ['Check-Valid-Until: no'] : []),
    // Not the one of the machine's own source, which may lack the key of testing.
    ...(existsSync(KEYRING) ? [`Signed-By: ${KEYRING}`] : []),
    '',
  ].join('\n')
}

async function renderConfig(root: string, context: SourceContext): Promise<string> {
  const dump = await runProcess(['apt-config', 'dump'], {
    cwd: context.workDir,
    environment: context.environment,
    signal: context.signal,
  })
  return [
    // How to reach a mirror is the machine's business; hooks and caches are not taken over.
    ...fetchOptions(dump),
    'Dir::Etc::main "/dev/null";',
    'Dir::Etc::parts "/dev/null";',
    'Dir::Etc::preferences "/dev/null";',
    'Dir::Etc::preferencesparts "/dev/null";',
    'Dir::Etc::sourcelist "/dev/null";',
    `Dir::Etc::sourceparts "${root}/sources";`,
    `Dir::State "${root}/state";`,
    `Dir::State::lists "${root}/lists";`,
    `Dir::State::status "${root}/state/status";`,
    `Dir::Cache "${root}/cache";`,
    `APT::Architecture "${context.arch}";`,
    `APT::Architectures { "${context.arch}"; };`,
    // The private root belongs to the caller, which apt's own download user could not enter.
    'APT::Sandbox::User "root";',
    'Acquire::Languages "none";',
    '',
  ].join('\n')
}
