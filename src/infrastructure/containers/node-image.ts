import {createReadStream} from 'node:fs'
import {rm, stat} from 'node:fs/promises'
import {join} from 'node:path'
import {createZstdDecompress} from 'node:zlib'
import {errorMessage} from '../../base/errors.ts'
import {isMissing} from '../../base/system-errors.ts'
import type {Report} from '../../base/run-events.ts'
import {InfrastructureError} from '../errors.ts'
import type {Renderer} from '../../base/renderer.ts'
import type {ContainerEngine} from './container-engine.ts'
import {NODE_IMAGE_LABEL, nodeImageRecipe, type NodeImageRecipe, type NodeOs} from './node-image-recipe.ts'
import {makeRootfs, type MakeRootfsOptions} from './node-rootfs.ts'

export interface NodeImageOptions {
  readonly engine: ContainerEngine
  readonly os: NodeOs
  readonly renderer: Renderer
  /** Root file systems are kept in its folder `node-images`. */
  readonly cacheDir: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly report: Report
  readonly signal: AbortSignal
  /** How a root file system is made; default: mmdebstrap. */
  readonly makeRootfs?: (options: MakeRootfsOptions) => Promise<void>
}

const PULL_TIMEOUT_MS = 300_000

/** Whether the engine has the node image of an operating system already. */
export async function hasNodeImage({
  engine,
  os,
  renderer,
}: Pick<NodeImageOptions, 'engine' | 'os' | 'renderer'>): Promise<boolean> {
  return isImageOf(engine, nodeImageRecipe(os, renderer))
}

/**
 * The tag of a node image that the engine has, made when it is not there: from a public base image where a registry
 * answers, else by mmdebstrap from this machine's Debian mirror. Throws InfrastructureError NODE_IMAGE_FAILED.
 */
export async function ensureNodeImage(options: NodeImageOptions): Promise<string> {
  const {engine, os, renderer, report} = options
  const recipe = nodeImageRecipe(os, renderer)
  if (await isImageOf(engine, recipe)) return recipe.tag
  const task = `node-image-${os}`
  const startedAt = performance.now()
  const durationMs = () => Math.round(performance.now() - startedAt)
  const progress = (text: string) => report({type: 'task-progress', task, text})
  report({type: 'task-started', task, title: `Creating the node image ${os}`})
  try {
    const how = await makeImage(options, recipe, progress)
    report({type: 'task-done', task, durationMs: durationMs(), text: `${recipe.tag}, ${how}`})
    return recipe.tag
  } catch (error) {
    const message = errorMessage(error)
    report({type: 'task-failed', task, durationMs: durationMs(), message})
    throw error
  }
}

async function isImageOf(engine: ContainerEngine, recipe: NodeImageRecipe): Promise<boolean> {
  const image = await engine.findImage(recipe.tag)
  return image?.labels[NODE_IMAGE_LABEL] === recipe.hash
}

async function makeImage(
  options: NodeImageOptions,
  recipe: NodeImageRecipe,
  progress: (text: string) => void,
): Promise<string> {
  const file = join(options.cacheDir, 'node-images', `${recipe.tag.replace(':', '-')}.tar.zst`)
  if (await isThere(file)) {
    progress('import from the cache')
    try {
      await importRootfs(options, recipe, file)
      return 'from the cache'
    } catch (error) {
      options.signal.throwIfAborted()
      if (!(error instanceof InfrastructureError)) throw error
      progress(`the cached file cannot be used (${error.message}), creating it again`)
      await rm(file, {force: true})
    }
  }
  const refused = await buildFromBase(options, recipe, progress)
  if (refused === undefined) return `from ${recipe.base}`
  progress(`could not pull ${recipe.base} (${refused}), creating the image from Debian packages`)
  await (options.makeRootfs ?? makeRootfs)({
    recipe,
    file,
    environment: options.environment,
    signal: options.signal,
    onLine: progress,
  })
  progress('import into the engine')
  await importRootfs(options, recipe, file)
  return 'from Debian packages'
}

/** Why the Dockerfile way is closed here; undefined when it made the image. */
async function buildFromBase(
  {engine, signal}: NodeImageOptions,
  recipe: NodeImageRecipe,
  progress: (text: string) => void,
): Promise<string | undefined> {
  try {
    if ((await engine.findImage(recipe.base)) === undefined) {
      progress(`pull ${recipe.base}`)
      await engine.pullImage(recipe.base, AbortSignal.any([signal, AbortSignal.timeout(PULL_TIMEOUT_MS)]))
    }
    await engine.buildImage([recipe.dockerfile, recipe.customise, recipe.nodeInit], {
      tag: recipe.tag,
      labels: {[NODE_IMAGE_LABEL]: recipe.hash},
      signal,
      onLine: progress,
    })
    return undefined
  } catch (error) {
    signal.throwIfAborted()
    return errorMessage(error)
  }
}

async function importRootfs(
  {engine, signal}: NodeImageOptions,
  recipe: NodeImageRecipe,
  file: string,
): Promise<void> {
  const packed = createReadStream(file)
  const rootfs = packed.pipe(createZstdDecompress())
  packed.once('error', (error) => rootfs.destroy(error))
  await engine.importImage(rootfs, recipe.tag, {[NODE_IMAGE_LABEL]: recipe.hash}, signal)
}

async function isThere(file: string): Promise<boolean> {
  try {
    return (await stat(file)).size > 0
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}
