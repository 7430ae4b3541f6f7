import {closeSync, createReadStream, existsSync, openSync, read, statSync} from 'node:fs'
import {readFile, readdir} from 'node:fs/promises'
import {join} from 'node:path'
import {Readable} from 'node:stream'
import {promisify} from 'node:util'
import {z} from 'zod'
import {BundleError} from './errors.ts'
import {bundleLockSchema} from './types.ts'
import type {
  Arch,
  Bundle,
  BundleFolder,
  BundleLock,
  FileItem,
  ImageItem,
  ManifestsItem,
  ToolItem,
} from './types.ts'

const readAt = promisify(read)

export const LOCK_FILE = 'bundle.lock.json'

/** The folder where bundles are, below the cache folder. */
export function bundlesDir(cacheDir: string): string {
  return join(cacheDir, 'bundles')
}

/** Where the bundle of a version and architecture is. */
export function bundleDir(cacheDir: string, kubernetes: string, arch: Arch): string {
  return join(bundlesDir(cacheDir), `${kubernetes}-${arch}`)
}

/** What a file in the folder of a bundle must be. */
export interface BundleFile {
  /** Below the bundle's folder. */
  readonly path: string
  readonly sizeBytes: number
  readonly sha256: string
}

/** Where a blob is in an OCI layout. */
export function blobPath(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`
}

/** Every item of a lock that is not a package inside of another. */
export function itemsOf({
  files,
  images,
  manifests,
  tools,
}: BundleLock): readonly (FileItem | ImageItem | ManifestsItem | ToolItem)[] {
  return [...files, ...images, ...manifests, ...tools]
}

/** Every file that a lock names, blobs of images as well, each once. */
export function filesOf({files, images, manifests, tools}: BundleLock): readonly BundleFile[] {
  const blobs = images.flatMap((image) => image.blobs)
  const all = [
    ...[...files, ...manifests, ...tools].map(({path, sizeBytes, sha256}) => ({path, sizeBytes, sha256})),
    ...blobs.map(({digest, sizeBytes}) => ({
      path: `oci/${blobPath(digest)}`,
      sizeBytes,
      sha256: digest.slice('sha256:'.length),
    })),
  ]
  return [...new Map(all.map((file) => [file.path, file])).values()]
}

/**
 * Opens a bundle; its content is not checked. Its files stay open until the process ends, so that it can be installed
 * from while a build replaces the folder: the kernel keeps what is open, and frees it with its last reader, killed or not.
 * Throws BundleError BUNDLE_MISSING or BUNDLE_INVALID.
 */
export async function loadBundle(dir: string): Promise<Bundle> {
  for (;;) {
    const folder = folderAt(dir)
    const lock = await readLock(dir)
    const files = openFiles(dir, lock)
    // Else the folder was replaced on the way, and the files need not be the lock's.
    if (folderAt(dir) === folder) return {dir, lock, content: reader(dir, files)}
    for (const file of files.values()) closeSync(file)
  }
}

const folderAt = (dir: string): bigint | undefined =>
  statSync(dir, {bigint: true, throwIfNoEntry: false})?.ino

/** Those that can be opened; of the others is told when they are wanted. */
function openFiles(dir: string, lock: BundleLock): ReadonlyMap<string, number> {
  const files = new Map<string, number>()
  for (const {path} of filesOf(lock)) {
    try {
      files.set(path, openSync(join(dir, path), 'r'))
    } catch {
      continue
    }
  }
  return files
}

const reader =
  (dir: string, files: ReadonlyMap<string, number>): Bundle['content'] =>
  (path, chunkBytes = 1 << 16) => {
    const fd = files.get(path)
    return fd === undefined
      ? createReadStream(join(dir, path), {highWaterMark: chunkBytes})
      : Readable.from(chunksOf(fd, chunkBytes), {objectMode: false, highWaterMark: chunkBytes})
  }

/** A file's own stream would close it when it is destroyed, `autoClose` or not; another host may be reading from it. */
async function* chunksOf(fd: number, chunkBytes: number): AsyncIterable<Uint8Array> {
  for (let position = 0; ;) {
    const {bytesRead, buffer} = await readAt(fd, Buffer.allocUnsafe(chunkBytes), 0, chunkBytes, position)
    if (bytesRead === 0) return
    yield buffer.subarray(0, bytesRead)
    position += bytesRead
  }
}

async function readLock(dir: string): Promise<BundleLock> {
  const path = join(dir, LOCK_FILE)
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    if (existsSync(path)) throw cause
    const suggestions = ['clouder bundle build']
    throw new BundleError('BUNDLE_MISSING', `no bundle in ${dir}`, {cause, suggestions})
  })
  const lock = bundleLockSchema.safeParse(parseJson(text, path))
  if (!lock.success) {
    throw new BundleError('BUNDLE_INVALID', `${path} is not a bundle lock: ${z.prettifyError(lock.error)}`, {
      suggestions: ['clouder bundle build'],
    })
  }
  return lock.data
}

/** Marks folders that builds put together or take away. */
export const PARTIAL = '.partial-'

/** All bundles below a folder; what is no bundle, or none yet, is passed over. */
export async function listBundles(rootDir: string): Promise<readonly BundleFolder[]> {
  if (!existsSync(rootDir)) return []
  const names = (await readdir(rootDir)).filter((name) => !name.includes(PARTIAL)).sort()
  const dirs = names.map((name) => join(rootDir, name)).filter((dir) => existsSync(join(dir, LOCK_FILE)))
  return Promise.all(dirs.map(async (dir) => ({dir, lock: await readLock(dir)})))
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new BundleError('BUNDLE_INVALID', `${path} is not JSON`, {
      cause: error,
      suggestions: ['clouder bundle build'],
    })
  }
}
