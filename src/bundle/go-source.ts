import {mkdir, readFile, rename, rm, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {isAtLeast} from '../base/versions.ts'
import {BundleError} from './errors.ts'
import {catalogueFor} from './catalogue.ts'
import type {
  CatalogueBlob,
  CatalogueImage,
  CatalogueItem,
  CatalogueManifests,
  DebianImageRecipe,
  GoImageRecipe,
} from './catalogue-items.ts'
import type {DebianRecipe} from './debian-recipes.ts'
import {buildInputs} from './go-components.ts'
import type {GoComponent} from './go-components.ts'
import {resolvePackages, unpackPackages} from './debian.ts'
import type {DebianPackage} from './debian.ts'
import {sha256Of} from './digest.ts'
import {objectsOf} from './go-files.ts'
import {SECCOMP_PACKAGES, buildGoComponent, goVersion} from './go-build.ts'
import {writeImage, writeLayer} from './oci.ts'
import type {Layer} from './oci.ts'
import {imageTree, packagesOf, portableFolder, selectFiles} from './portable.ts'
import type {Selection} from './portable.ts'
import {isOnPath} from './process.ts'
import {nodeVersion, programDigest, programImage} from './program-image.ts'
import type {BundleSource, ProducedFile, ProducedImage, SourceContext, UsedPackage} from './source.ts'
import {writeTar} from './tar.ts'

/**
 * Builds from pinned Go modules and from the Debian packages of the machine's own mirror: nothing but package sources
 * has to be reachable.
 */
export function goSource(): BundleSource {
  const selections = memo<Selection>()
  const layers = memo<Layer>()
  const builds = memo<string>()
  const versions = memo<string>()
  const tools = (recipe: DebianRecipe, context: SourceContext): Promise<Selection> =>
    selections(JSON.stringify(recipe), () => selectPackages(recipe, context))
  const layer = (recipe: DebianRecipe, context: SourceContext): Promise<Layer> =>
    layers(JSON.stringify(recipe), async () => {
      const selection = await tools(recipe, context)
      // Layers of several recipes may be written at the same time.
      const name = `tools-${sha256Of(JSON.stringify(recipe)).slice(0, 12)}`
      return writeLayer(imageTree(recipe, selection, context.arch), blobDir(context), name, context.signal)
    })
  const binaries = (module: string, context: SourceContext): Promise<string> =>
    builds(module, () => buildGoComponent(componentOf(module, context), context))

  return {
    kind: 'go',
    reachable: (context) => isOnPath('go', context.environment),
    has: ({recipe}) => !('published' in recipe),
    inputs: async (item, context) => {
      const {recipe} = item
      if ('published' in recipe) throw onlyPublished(item)
      if ('from' in recipe && recipe.from === 'debian') return debianInputs(recipe, context)
      if ('debian' in recipe) return debianInputs(recipe.debian, context)
      if ('from' in recipe && recipe.from === 'go-files') return moduleInputs(recipe.module, context)
      if ('program' in recipe) {
        const program = await programDigest(recipe, context)
        return [program, ...(await debianInputs(recipe.tools, context))]
      }
      const compiler = await versions('go', () => goVersion(context))
      const module = [compiler, ...(await goInputs(recipe.module, context))]
      const inner = 'tools' in recipe ? recipe.tools : undefined
      return inner === undefined ? module : [...module, ...(await debianInputs(inner, context))]
    },
    file: async (item, context) => {
      if (item.kind === 'manifests') return manifestsFile(item, context)
      const {recipe} = item
      if (recipe.from === 'debian')
        return portableArchive(item, recipe, await tools(recipe, context), context)
      const dir = await binaries(recipe.module, context)
      return goFile(item, recipe.binaries, dir, componentOf(recipe.module, context), context)
    },
    image: async (item, context) => {
      const {recipe} = item
      if ('published' in recipe) throw onlyPublished(item)
      if ('program' in recipe) {
        const packages = packagesOf(await tools(recipe.tools, context))
        const source = `clouder, on Node.js ${nodeVersion(packages)}`
        const base = await layer(recipe.tools, context)
        const image = await programImage(recipe, base, blobDir(context), context)
        return {...image, source, version: item.version, packages: packages.map(usedPackage)}
      }
      if ('debian' in recipe) {
        const selection = await tools(recipe.debian, context)
        return debianImage({...item, recipe}, selection, await layer(recipe.debian, context), context)
      }
      const component = componentOf(recipe.module, context)
      const dir = await binaries(recipe.module, context)
      const base = recipe.tools === undefined ? undefined : await layer(recipe.tools, context)
      const packages = recipe.tools === undefined ? [] : packagesOf(await tools(recipe.tools, context))
      return goImage({...item, recipe}, component, dir, {base, packages}, context)
    },
  }
}

const onlyPublished = ({name}: CatalogueItem): BundleError =>
  new BundleError('BUILD_FAILED', `${name} is made by no Go module, only --source release has it`)

/** Several items come out of one build; whoever asks first starts it, the others get the same. */
function memo<T>(): (key: string, make: () => Promise<T>) => Promise<T> {
  const started = new Map<string, Promise<T>>()
  return (key, make) => {
    const known = started.get(key)
    if (known !== undefined) return known
    const making = make()
    started.set(key, making)
    return making
  }
}

function blobDir(context: SourceContext): string {
  return join(context.workDir, 'blobs', context.arch)
}

function componentOf(module: string, context: SourceContext): GoComponent {
  const found = catalogueFor(context.kubernetes).components.find((component) => component.module === module)
  if (found === undefined) throw new BundleError('BUILD_FAILED', `the catalogue has no Go module ${module}`)
  return found
}

async function moduleInputs(module: string, context: SourceContext): Promise<readonly string[]> {
  const folder = join(context.packageRoot, 'src', 'bundle', 'modules', module)
  const names = await buildInputs(folder)
  const contents = await Promise.all(names.map((name) => readFile(join(folder, name))))
  return names.map((name, index) => `${name} ${sha256Of(contents[index] ?? '')}`)
}

async function goInputs(module: string, context: SourceContext): Promise<readonly string[]> {
  const hashes = await moduleInputs(module, context)
  const component = componentOf(module, context)
  const seccomp = component.seccomp === true ? await debianInputs(SECCOMP, context) : []
  return [JSON.stringify(component), ...hashes, ...seccomp]
}

const SECCOMP = {packages: SECCOMP_PACKAGES, suite: 'stable'} as const

async function debianInputs(
  recipe: Pick<DebianRecipe, 'packages' | 'suite'>,
  context: SourceContext,
): Promise<readonly string[]> {
  const packages = await resolvePackages(recipe.packages, recipe.suite, context)
  return packages.map(({name, version, sha256}) => `${name} ${version} ${sha256}`)
}

// Programs are given by name, and nothing but libraries is needed to run them.
const LIBRARY = /^z?lib/

async function selectPackages(recipe: DebianRecipe, context: SourceContext): Promise<Selection> {
  const closure = await resolvePackages(recipe.packages, recipe.suite, context)
  const needed = closure.filter(({name}) => LIBRARY.test(name) || recipe.packages.includes(name))
  const trees = await unpackPackages(needed, recipe.suite, context)
  return selectFiles(recipe, trees, context.arch)
}

async function portableArchive(
  item: CatalogueBlob,
  recipe: DebianRecipe,
  selection: Selection,
  context: SourceContext,
): Promise<ProducedFile> {
  const packages = packagesOf(selection)
  const path = await tarTo(item.name, portableFolder(recipe, selection), context)
  const main = packages.find(({name}) => name === recipe.packages[0])
  return {
    path,
    source: `Debian packages (${recipe.suite}): ${recipe.packages.join(', ')}`,
    version: item.name === main?.name ? upstreamVersion(main.version) : item.version,
    packages: packages.map(usedPackage),
  }
}

async function goFile(
  item: CatalogueBlob,
  binaries: readonly string[],
  dir: string,
  component: GoComponent,
  context: SourceContext,
): Promise<ProducedFile> {
  const entries = binaries.map((name) => ({path: name, file: join(dir, name), mode: 0o755}))
  const [only] = entries
  const path =
    item.kind !== 'archive' && only !== undefined ? only.file : await tarTo(item.name, entries, context)
  return {path, source: sourceOf(component), version: item.version, packages: []}
}

async function goImage(
  item: CatalogueImage & {readonly recipe: GoImageRecipe},
  component: GoComponent,
  dir: string,
  tools: {base: Layer | undefined; packages: readonly DebianPackage[]},
  context: SourceContext,
): Promise<ProducedImage> {
  const {binaries, entrypoint, command = []} = item.recipe
  const entries = Object.entries(binaries).map(([name, path]) => ({path, file: join(dir, name), mode: 0o755}))
  const own = await writeLayer(entries, blobDir(context), item.name, context.signal)
  const layers = tools.base === undefined ? [own] : [tools.base, own]
  const image = await writeImage(layers, {arch: context.arch, entrypoint, command}, blobDir(context))
  const packages = tools.packages.map(usedPackage)
  return {...image, source: sourceOf(component), version: item.version, packages}
}

/** An image of Debian programs alone; its version is that of the first package. */
async function debianImage(
  {recipe, version}: CatalogueImage & {readonly recipe: DebianImageRecipe},
  selection: Selection,
  layer: Layer,
  context: SourceContext,
): Promise<ProducedImage> {
  const {debian, entrypoint, command = []} = recipe
  const image = await writeImage([layer], {arch: context.arch, entrypoint, command}, blobDir(context))
  const source = `Debian packages (${debian.suite}): ${debian.packages.join(', ')}`
  const packages = packagesOf(selection)
  const found = packages.find(({name}) => name === recipe.package)
  return {
    ...image,
    source,
    version: found === undefined ? version : atLeast(version, found),
    packages: packages.map(usedPackage),
  }
}

/** Version of a package. Throws BundleError BUILD_FAILED when it is older than the pinned one. */
export function atLeast(pinned: string, {name, version}: Pick<DebianPackage, 'name' | 'version'>): string {
  const upstream = upstreamVersion(version)
  if (isAtLeast(upstream, pinned)) return upstream
  throw new BundleError('BUILD_FAILED', `the package ${name} is ${version}, ${pinned} or newer is required`)
}

async function manifestsFile(item: CatalogueManifests, context: SourceContext): Promise<ProducedFile> {
  const objects = await objectsOf(item.recipe, context)
  const dir = join(context.workDir, 'archives', context.arch)
  await mkdir(dir, {recursive: true})
  const path = join(dir, `${item.name}.json`)
  await writeFile(path, JSON.stringify(objects))
  return {path, source: `Go module ${item.recipe.upstream}`, version: item.version, packages: []}
}

async function tarTo(
  name: string,
  entries: Parameters<typeof writeTar>[0],
  context: SourceContext,
): Promise<string> {
  const dir = join(context.workDir, 'archives', context.arch)
  await mkdir(dir, {recursive: true})
  const path = join(dir, `${name}.tar`)
  await rm(path, {force: true})
  await writeTar(entries, `${path}.tmp`, context.signal)
  await rename(`${path}.tmp`, path)
  return path
}

function sourceOf(component: GoComponent): string {
  return component.upstream === undefined
    ? `clouder, module ${component.module}`
    : `Go module ${component.upstream}`
}

function usedPackage(item: DebianPackage): UsedPackage {
  const {suite, ...rest} = item
  return {...rest, source: `Debian ${suite}`}
}

/** `2:4.2.1-1+b1` is 4.2.1 of its authors, `3.5.3+ds1-6` is 3.5.3. */
function upstreamVersion(version: string): string {
  return version
    .replace(/^\d+:/, '')
    .replace(/-[^-]*$/, '')
    .replace(/\+(ds|dfsg).*$/, '')
}
