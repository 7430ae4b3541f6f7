import {constants, existsSync, statSync} from 'node:fs'
import {copyFile, mkdir, mkdtemp, readdir, rename, rm, writeFile} from 'node:fs/promises'
import {basename, dirname, join} from 'node:path'
import pLimit from 'p-limit'
import {errorMessage} from '../base/errors.ts'
import type {Report} from '../base/run-events.ts'
import {lockCache} from './build-lock.ts'
import {artifactKey, gatherPackages, loadArtifact, makeArtifact} from './artifacts.ts'
import type {Artifact} from './artifacts.ts'
import {BundleError} from './errors.ts'
import {catalogueHash} from './catalogue-hash.ts'
import {catalogueFor} from './catalogue.ts'
import type {CatalogueItem} from './catalogue-items.ts'
import {sha256Of} from './digest.ts'
import {goSource} from './go-source.ts'
import {filesOf, LOCK_FILE, loadBundle, PARTIAL} from './load.ts'
import {OCI_LAYOUT, renderIndex} from './oci.ts'
import {releaseSource} from './release-source.ts'
import type {BundleSource, SourceContext} from './source.ts'
import type {Arch, Bundle, BundleLock, SourceKind} from './types.ts'

export interface BuildOptions {
  /** `1.35.4` */
  readonly kubernetes: string
  readonly arch: Arch
  /** `auto`: release where its hosts answer, else go. */
  readonly source: 'auto' | SourceKind
  /** Where the bundle is to be. */
  readonly dir: string
  /** Keeps finished items between builds. */
  readonly cacheDir: string
  readonly packageRoot: string
  readonly report: Report
  readonly signal: AbortSignal
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Default: the real ones. */
  readonly sources?: Readonly<Record<SourceKind, () => BundleSource>>
}

/** A source together with what is taken from the go source because the first lacks it; undefined: neither has it. */
type Sources = (item: CatalogueItem) => BundleSource | undefined

interface PlannedItem {
  readonly item: CatalogueItem
  readonly source: BundleSource
  readonly key: string
}

const REAL_SOURCES = {release: () => releaseSource(), go: () => goSource()}

// More builds at a time only take memory from each other: Go's compiler is parallel itself.
const PARALLEL_COMPONENTS = 2

/**
 * Builds a bundle, or gives the one that is there when it was made of the same inputs. Finished items are kept, so an
 * interrupted build goes on where it was. Throws BundleError, or the signal's reason.
 */
export async function buildBundle(options: BuildOptions): Promise<Bundle> {
  const catalogue = catalogueFor(options.kubernetes)
  const items: readonly CatalogueItem[] = [
    ...catalogue.files,
    ...catalogue.images,
    ...catalogue.manifests,
    ...catalogue.tools,
  ]
  await mkdir(options.cacheDir, {recursive: true})
  const context = sourceContext(options)
  const present = await findPresent(items, options, context)
  if (present !== undefined) return present
  await using _lock = await lockCache(options.cacheDir, options.arch, options.signal, () =>
    options.report({type: 'note', level: 'info', text: 'waiting for another bundle build to finish'}),
  )
  const builtMeanwhile = await findPresent(items, options, context)
  if (builtMeanwhile !== undefined) return builtMeanwhile
  await removePartials(options, context)
  const kind = options.source === 'auto' ? await reachableKind(options, context) : options.source
  const planned = await withTask(
    options.report,
    'bundle-inputs',
    'Read pins and package indices',
    (progress) => planItems(items, sourcesOf(kind, options), {...context, progress}),
  )
  const artifacts = await makeItems(planned, options, context)
  const hashes = {
    inputHash: inputHashOf(planned),
    catalogueHash: await catalogueHash(options.kubernetes, options.packageRoot),
  }
  const bundle = await assemble(artifacts, hashes, options)
  // Only compressed results are kept; Go's own cache makes the rest again quickly.
  await rm(join(context.workDir, 'go', options.arch), {recursive: true, force: true})
  await rm(join(context.workDir, 'blobs', options.arch), {recursive: true, force: true})
  return bundle
}

/** What killed builds left behind; nobody else builds while this one holds the lock. */
async function removePartials(options: BuildOptions, context: SourceContext): Promise<void> {
  const places = [
    {dir: join(options.cacheDir, 'artifacts'), prefix: `.partial-${options.arch}-`},
    {dir: join(context.workDir, 'debian'), prefix: `downloads-${options.arch}-`},
    {dir: dirname(options.dir), prefix: `${basename(options.dir)}${PARTIAL}`},
  ]
  for (const {dir, prefix} of places) {
    const names = existsSync(dir) ? await readdir(dir) : []
    for (const name of names.filter((entry) => entry.startsWith(prefix))) {
      await rm(join(dir, name), {recursive: true, force: true})
    }
  }
}

async function findPresent(
  items: readonly CatalogueItem[],
  options: BuildOptions,
  context: SourceContext,
): Promise<Bundle | undefined> {
  if (!existsSync(join(options.dir, LOCK_FILE))) return undefined
  for (const kind of kindsOf(options.source)) {
    const present = await loadPresent(options, await planItems(items, sourcesOf(kind, options), context))
    if (present !== undefined) return present
  }
  return undefined
}

function kindsOf(source: BuildOptions['source']): readonly SourceKind[] {
  return source === 'auto' ? ['release', 'go'] : [source]
}

async function reachableKind(
  {sources = REAL_SOURCES}: BuildOptions,
  context: SourceContext,
): Promise<SourceKind> {
  return (await sources.release().reachable(context)) ? 'release' : 'go'
}

function sourcesOf(kind: SourceKind, {sources = REAL_SOURCES}: BuildOptions): Sources {
  const preferred = kind === 'go' ? [sources.go()] : [sources.release(), sources.go()]
  return (item) => preferred.find((source) => source.has(item))
}

function sourceContext(options: BuildOptions): SourceContext {
  return {
    arch: options.arch,
    kubernetes: options.kubernetes,
    workDir: join(options.cacheDir, 'work'),
    packageRoot: options.packageRoot,
    environment: options.environment,
    signal: options.signal,
    progress: () => undefined,
  }
}

async function planItems(
  items: readonly CatalogueItem[],
  sources: Sources,
  context: SourceContext,
): Promise<readonly PlannedItem[]> {
  await mkdir(join(context.workDir, 'debian'), {recursive: true})
  const planned: PlannedItem[] = []
  // One after the other: the first to ask for Debian packages reads the index for all.
  for (const item of items) {
    const source = sources(item)
    if (source !== undefined) planned.push({item, source, key: await artifactKey(item, source, context)})
  }
  return planned
}

function inputHashOf(planned: readonly PlannedItem[]): string {
  return sha256Of(JSON.stringify(planned.map(({key}) => key)))
}

/** The bundle that is there, when it was made of the same inputs and nothing of it is missing or short. */
async function loadPresent(
  options: BuildOptions,
  planned: readonly PlannedItem[],
): Promise<Bundle | undefined> {
  const bundle = await loadReadable(options.dir)
  if (bundle === undefined) return undefined
  if (bundle.lock.inputHash !== inputHashOf(planned)) return undefined
  if (bundle.lock.catalogueHash !== (await catalogueHash(options.kubernetes, options.packageRoot)))
    return undefined
  for (const {path, sizeBytes} of filesOf(bundle.lock)) {
    const found = statSync(join(options.dir, path), {throwIfNoEntry: false})
    if (found?.size !== sizeBytes) return undefined
  }
  return bundle
}

/** A bundle whose lock cannot be read, torn or of an older clouder, is built anew. */
async function loadReadable(dir: string): Promise<Bundle | undefined> {
  try {
    return await loadBundle(dir)
  } catch (error) {
    if (error instanceof BundleError) return undefined
    throw error
  }
}

/** Items of one component come out of one build, so they are one task. */
function componentName(item: CatalogueItem): string {
  return 'module' in item.recipe ? item.recipe.module : item.name
}

const taskOf = (component: string) => ({task: `bundle-${component}`, title: `Building ${component}`})

async function makeItems(
  planned: readonly PlannedItem[],
  options: BuildOptions,
  context: SourceContext,
): Promise<readonly Artifact[]> {
  const components = Map.groupBy(planned, ({item}) => componentName(item))
  const tasks = [...components.keys()].map(taskOf)
  options.report({type: 'tasks-planned', tasks})
  const limit = pLimit(PARALLEL_COMPONENTS)
  // The first failure ends the others' compilers, and all of them are waited for.
  const failure = new AbortController()
  const signal = AbortSignal.any([options.signal, failure.signal])
  const outcomes = await Promise.allSettled(
    [...components].map(([name, group]) =>
      limit(async () => {
        try {
          return await makeComponent(name, group, options, {...context, signal})
        } catch (error) {
          failure.abort(error)
          throw error
        }
      }),
    ),
  )
  signal.throwIfAborted()
  return outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value : []))
}

async function makeComponent(
  name: string,
  group: readonly PlannedItem[],
  options: BuildOptions,
  context: SourceContext,
): Promise<readonly Artifact[]> {
  context.signal.throwIfAborted()
  const artifactsDir = join(options.cacheDir, 'artifacts')
  const {task, title} = taskOf(name)
  return withTask(options.report, task, title, async (progress) => {
    const limit = pLimit(PARALLEL_COMPONENTS)
    const made = await Promise.allSettled(
      group.map(({item, source, key}) =>
        limit(async () => {
          const kept = await loadArtifact(artifactsDir, key)
          return kept ?? makeArtifact(item, key, source, artifactsDir, {...context, progress})
        }),
      ),
    )
    return made.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason
      return outcome.value
    })
  })
}

/** Reports the work from its start to its end. */
async function withTask<T>(
  report: Report,
  task: string,
  title: string,
  work: (progress: (text: string) => void) => Promise<T>,
): Promise<T> {
  const start = performance.now()
  const elapsed = (): number => Math.round(performance.now() - start)
  report({type: 'task-started', task, title})
  try {
    const result = await work((text) => {
      report({type: 'task-progress', task, text})
    })
    report({type: 'task-done', task, durationMs: elapsed()})
    return result
  } catch (error) {
    const message = errorMessage(error)
    report({type: 'task-failed', task, durationMs: elapsed(), message})
    throw error
  }
}

/** Puts the bundle together beside its place and swaps it in whole. */
async function assemble(
  artifacts: readonly Artifact[],
  hashes: LockHashes,
  options: BuildOptions,
): Promise<Bundle> {
  await mkdir(dirname(options.dir), {recursive: true})
  const partial = await mkdtemp(`${options.dir}${PARTIAL}`)
  const replaced = `${partial}-replaced`
  try {
    await mkdir(join(partial, 'files'), {recursive: true})
    await mkdir(join(partial, 'oci', 'blobs', 'sha256'), {recursive: true})
    for (const {dir, contents} of artifacts) {
      // Copies, not links: whatever happens to a bundle must not happen to what it is rebuilt from.
      for (const [from, to] of Object.entries(contents)) {
        await copyFile(join(dir, from), join(partial, to), constants.COPYFILE_FICLONE)
      }
    }
    const lock = lockOf(artifacts, hashes, options)
    await writeFile(join(partial, 'oci', 'oci-layout'), OCI_LAYOUT)
    await writeFile(join(partial, 'oci', 'index.json'), renderIndex(lock.images, options.arch))
    await writeFile(join(partial, LOCK_FILE), `${JSON.stringify(lock, null, 2)}\n`)
    if (existsSync(options.dir)) await rename(options.dir, replaced)
    await rename(partial, options.dir)
    return await loadBundle(options.dir)
  } finally {
    await rm(partial, {recursive: true, force: true})
    // Whoever installs from it has its files open.
    await rm(replaced, {recursive: true, force: true})
  }
}

type LockHashes = Pick<BundleLock, 'inputHash' | 'catalogueHash'>

function lockOf(artifacts: readonly Artifact[], hashes: LockHashes, options: BuildOptions): BundleLock {
  const items = artifacts.map(({item}) => item)
  return {
    version: 1,
    kubernetes: options.kubernetes,
    arch: options.arch,
    ...hashes,
    files: items.filter((item) => item.kind === 'binary' || item.kind === 'archive'),
    images: items.filter((item) => item.kind === 'image'),
    manifests: items.filter((item) => item.kind === 'manifests'),
    tools: items.filter((item) => item.kind === 'tool'),
    packages: gatherPackages(artifacts).map((used) => ({kind: 'package', ...used})),
  }
}
