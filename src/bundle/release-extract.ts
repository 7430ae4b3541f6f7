import {createReadStream, createWriteStream} from 'node:fs'
import {mkdir, rename, rm} from 'node:fs/promises'
import {basename, join} from 'node:path'
import {Writable} from 'node:stream'
import {pipeline} from 'node:stream/promises'
import {createGunzip} from 'node:zlib'
import {extract, type Extract} from 'tar-stream'
import {BundleError} from './errors.ts'

/**
 * Writes the named regular members of a .tar.gz into `folder`, without the folders they lie in; each appears whole or
 * not at all. Throws BundleError when the archive lacks one.
 */
export async function extractMembers(
  archive: string,
  paths: readonly string[],
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  await mkdir(folder, {recursive: true})
  const missing = new Set(paths)
  await eachFile(archive, signal, async (path, content) => {
    if (!missing.delete(path)) return drain(content)
    const file = join(folder, basename(path))
    const temporary = `${file}.${process.pid}.tmp`
    try {
      await pipeline(content, createWriteStream(temporary), {signal})
      await rename(temporary, file)
    } finally {
      await rm(temporary, {force: true})
    }
  })
  if (missing.size > 0) {
    throw new BundleError('BUILD_FAILED', `${basename(archive)} does not contain ${[...missing].join(', ')}`)
  }
}

async function eachFile(
  archive: string,
  signal: AbortSignal,
  take: (path: string, content: AsyncIterable<unknown>) => Promise<void>,
): Promise<void> {
  const entries = extract()
  const stopped = new AbortController()
  const reading = pipeline(createReadStream(archive), createGunzip(), writableOf(entries), {
    signal: AbortSignal.any([signal, stopped.signal]),
  })
  const takeAll = async () => {
    for await (const entry of entries) {
      if (entry.header.type === 'file') await take(entry.header.name.replace(/^\.\//, ''), entry)
      else await drain(entry)
    }
  }
  const taking = takeAll().catch((error: unknown) => {
    // Nobody reads on, so the archive's reader would wait for ever.
    stopped.abort(error)
    throw error
  })
  await Promise.all([reading, taking])
}

/** tar-stream's streams are not node's, and its types say so. */
function writableOf(entries: Extract): Writable {
  const writable = new Writable({
    write(chunk: Uint8Array, _encoding, done) {
      if (entries.write(chunk)) done()
      else entries.once('drain', () => done())
    },
    final(done) {
      entries.end(undefined)
      done()
    },
    destroy(error, done) {
      if (error !== null) entries.destroy(error)
      done(error)
    },
  })
  entries.on('error', (error: Error) => writable.destroy(error))
  return writable
}

/** Entries come one after the other: the next one waits until this one is read. */
async function drain(content: AsyncIterable<unknown>): Promise<void> {
  const chunks = content[Symbol.asyncIterator]()
  while ((await chunks.next()).done !== true);
}
