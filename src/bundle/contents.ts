import {createWriteStream, existsSync} from 'node:fs'
import {mkdir, mkdtemp, rename, rm} from 'node:fs/promises'
import {join} from 'node:path'
import {buffer} from 'node:stream/consumers'
import {pipeline} from 'node:stream/promises'
import {createGunzip} from 'node:zlib'
import {z} from 'zod'
import {digestFile, sha256Of} from './digest.ts'
import {BundleError} from './errors.ts'
import {
  manifestSchema,
  type Bundle,
  type FileItem,
  type Manifest,
  type ManifestsItem,
  type ToolItem,
} from './types.ts'

/** Objects that the bundle has under a name. Throws BundleError BUNDLE_NOT_CLOSED, BUNDLE_DIGEST_WRONG, BUNDLE_INVALID. */
export async function manifestsOf(bundle: Bundle, name: string): Promise<readonly Manifest[]> {
  const item = itemNamed(bundle, bundle.lock.manifests, name)
  const content = await buffer(bundle.content(item.path).pipe(createGunzip())).catch((error: unknown) => {
    throw unreadable(bundle, item, error)
  })
  checkDigest(bundle, item, sha256Of(content))
  try {
    return z.array(manifestSchema).parse(JSON.parse(content.toString('utf8')))
  } catch (error) {
    throw unreadable(bundle, item, error)
  }
}

/**
 * A program of the bundle, for this machine or for nodes, unpacked once below the cache folder and checked each time. Throws BundleError
 * BUNDLE_NOT_CLOSED, BUNDLE_DIGEST_WRONG, BUNDLE_INVALID.
 */
export async function toolOf(
  bundle: Bundle,
  name: string,
  {cacheDir, signal}: {readonly cacheDir: string; readonly signal: AbortSignal},
): Promise<string> {
  const item = itemNamed(bundle, [...bundle.lock.tools, ...bundle.lock.files], name)
  const dir = join(cacheDir, 'tools', item.contentSha256)
  const path = join(dir, name)
  if (existsSync(path) && (await digestFile(path, signal)).sha256 === item.contentSha256) return path
  await mkdir(dir, {recursive: true})
  const partial = await mkdtemp(join(dir, '.partial-'))
  try {
    const unpacked = join(partial, name)
    const writing = createWriteStream(unpacked, {mode: 0o755})
    await pipeline(bundle.content(item.path), createGunzip(), writing, {signal}).catch((error: unknown) => {
      signal.throwIfAborted()
      throw unreadable(bundle, item, error)
    })
    checkDigest(bundle, item, (await digestFile(unpacked, signal)).sha256)
    await rename(unpacked, path)
    return path
  } finally {
    await rm(partial, {recursive: true, force: true})
  }
}

const rebuild = ({lock}: Bundle): string => `clouder bundle build --kubernetes ${lock.kubernetes}`

function itemNamed<T extends {readonly name: string}>(bundle: Bundle, items: readonly T[], name: string): T {
  const found = items.find((item) => item.name === name)
  if (found !== undefined) return found
  throw new BundleError('BUNDLE_NOT_CLOSED', `bundle ${bundle.dir} lacks ${name}`, {
    suggestions: [rebuild(bundle)],
  })
}

function checkDigest(bundle: Bundle, item: ManifestsItem | ToolItem | FileItem, found: string): void {
  if (found === item.contentSha256) return
  throw new BundleError(
    'BUNDLE_DIGEST_WRONG',
    `${item.path} of bundle ${bundle.dir} contains sha256 ${found}, not ${item.contentSha256}`,
    {suggestions: ['clouder bundle verify', rebuild(bundle)]},
  )
}

function unreadable(
  bundle: Bundle,
  {path}: ManifestsItem | ToolItem | FileItem,
  cause: unknown,
): BundleError {
  return new BundleError('BUNDLE_INVALID', `${path} of bundle ${bundle.dir} cannot be read`, {
    cause,
    suggestions: ['clouder bundle verify', rebuild(bundle)],
  })
}
