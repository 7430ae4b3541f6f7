import {createReadStream, createWriteStream, existsSync} from 'node:fs'
import {mkdir, mkdtemp, readdir, rename, rm, stat} from 'node:fs/promises'
import {dirname, join, normalize} from 'node:path'
import {pipeline} from 'node:stream/promises'
import {constants, createZstdCompress, createZstdDecompress} from 'node:zlib'
import {extract, pack} from 'tar-stream'
import type {Pack} from 'tar-stream'
import {BundleError} from './errors.ts'
import {digestFile} from './digest.ts'
import {loadBundle, LOCK_FILE, PARTIAL} from './load.ts'
import type {Bundle} from './types.ts'

// What is inside is compressed already.
const ZSTD_LEVEL = 1

/** Writes a bundle as one `.tar.zst`; the file appears when it is whole. */
export async function packBundle(bundle: Bundle, file: string, signal: AbortSignal): Promise<void> {
  const partial = `${file}.partial`
  await mkdir(dirname(file), {recursive: true})
  const archive = pack()
  const compress = createZstdCompress({params: {[constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL}})
  try {
    await Promise.all([
      pipeline(archive, compress, createWriteStream(partial), {signal}),
      addFolder(archive, bundle.dir, signal),
    ])
    await rename(partial, file)
  } finally {
    await rm(partial, {force: true})
  }
}

async function addFolder(archive: Pack, dir: string, signal: AbortSignal): Promise<void> {
  const entries = await readdir(dir, {recursive: true, withFileTypes: true})
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  for (const path of paths.sort()) {
    const {size} = await stat(path)
    const name = path.slice(dir.length + 1)
    const entry = archive.entry({name, size, mode: 0o644, mtime: new Date(0)})
    await pipeline(createReadStream(path), entry, {signal})
  }
  archive.finalize()
}

/**
 * The bundle of a folder, or of a `.tar.zst`, which is unpacked once into the cache. Contents are for `verifyBundle`.
 * Throws BundleError BUNDLE_MISSING, BUNDLE_INVALID.
 */
export async function openBundle(path: string, cacheDir: string, signal: AbortSignal): Promise<Bundle> {
  if (!existsSync(path) || !(await stat(path)).isFile()) return loadBundle(path)
  const {sha256} = await digestFile(path, signal)
  const dir = join(cacheDir, 'unpacked', sha256)
  return existsSync(join(dir, LOCK_FILE)) ? loadBundle(dir) : unpackBundle(path, dir, signal)
}

/**
 * Unpacks a bundle's `.tar.zst` to a folder, which appears when it is whole; contents are for `verifyBundle` to check.
 * Throws BundleError BUNDLE_INVALID.
 */
export async function unpackBundle(file: string, dir: string, signal: AbortSignal): Promise<Bundle> {
  if (!existsSync(file)) throw new BundleError('BUNDLE_MISSING', `no file ${file}`)
  await mkdir(dirname(dir), {recursive: true})
  const partial = await mkdtemp(`${dir}${PARTIAL}`)
  try {
    await unpackInto(file, partial, signal)
    await loadBundle(partial)
    await rm(dir, {recursive: true, force: true})
    await rename(partial, dir)
  } finally {
    await rm(partial, {recursive: true, force: true})
  }
  return loadBundle(dir)
}

async function unpackInto(file: string, dir: string, signal: AbortSignal): Promise<void> {
  const archive = extract()
  const reading = pipeline(createReadStream(file), createZstdDecompress(), archive, {signal})
  const writing = (async () => {
    for await (const entry of archive) {
      const {name, type} = entry.header
      const path = normalize(join(dir, name))
      if (type !== 'file' || !path.startsWith(`${dir}/`)) {
        throw new BundleError('BUNDLE_INVALID', `${file} contains "${name}", which is not part of a bundle`)
      }
      await mkdir(dirname(path), {recursive: true})
      await pipeline(entry, createWriteStream(path))
    }
  })()
  const [read, written] = await Promise.allSettled([reading, writing])
  signal.throwIfAborted()
  for (const outcome of [written, read]) {
    if (outcome.status === 'fulfilled') continue
    if (outcome.reason instanceof BundleError) throw outcome.reason
    throw new BundleError('BUNDLE_INVALID', `${file} is not a bundle archive`, {cause: outcome.reason})
  }
}
