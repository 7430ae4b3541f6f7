import {createReadStream, createWriteStream} from 'node:fs'
import {mkdir, rename, rm} from 'node:fs/promises'
import {dirname} from 'node:path'
import {Writable} from 'node:stream'
import {buffer} from 'node:stream/consumers'
import {pipeline} from 'node:stream/promises'
import {createGunzip} from 'node:zlib'
import {extract, pack, type Extract} from 'tar-stream'
import {BundleError} from '../errors.ts'

/** Writes one regular member of a .tar.gz to `file`. Throws BundleError when the archive does not hold it. */
export async function extractMember(
  archive: string,
  path: string,
  file: string,
  signal: AbortSignal,
): Promise<void> {
  await whole(file, async (temporary) => {
    const seen = new Set<string>()
    await eachFile(archive, signal, async (name, entry) => {
      seen.add(name)
      await (name === path ? pipeline(entry, createWriteStream(temporary), {signal}) : drain(entry))
    })
    if (!seen.has(path)) throw missing(archive, [path])
  })
}

/**
 * Writes the named members of a .tar.gz, found in any folder of it, to an uncompressed tar of plain names: sorted, mode
 * 0755, root, no times, so that equal contents are equal bytes.
 */
export async function repackMembers(
  archive: string,
  names: readonly string[],
  file: string,
  signal: AbortSignal,
): Promise<void> {
  const contents = new Map<string, Buffer>()
  await eachFile(archive, signal, async (path, entry) => {
    const name = path.slice(path.lastIndexOf('/') + 1)
    if (names.includes(name)) contents.set(name, await buffer(entry))
    else await drain(entry)
  })
  const absent = names.filter((name) => !contents.has(name))
  if (absent.length > 0) throw missing(archive, absent)
  await whole(file, async (temporary) => {
    const tar = pack()
    for (const name of [...contents.keys()].sort()) {
      tar.entry({name, mode: 0o755, mtime: new Date(0)}, contents.get(name))
    }
    tar.finalize()
    await pipeline(tar, createWriteStream(temporary), {signal})
  })
}

async function eachFile(
  archive: string,
  signal: AbortSignal,
  take: (path: string, entry: AsyncIterable<Uint8Array>) => Promise<unknown>,
): Promise<void> {
  const entries = extract()
  const reading = pipeline(createReadStream(archive), createGunzip(), writableOf(entries), {signal})
  const taking = (async () => {
    for await (const entry of entries) {
      if (entry.header.type === 'file') await take(entry.header.name.replace(/^\.\//, ''), entry)
      else await drain(entry)
    }
  })()
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
      entries.end()
      done()
    },
    destroy(error, done) {
      if (error !== null) entries.destroy(error)
      done(error)
    },
  })
  entries.on('error', (error) => writable.destroy(error))
  return writable
}

/** Entries come one after the other: the next one waits until this one is read. */
async function drain(entry: AsyncIterable<Uint8Array>): Promise<number> {
  let sizeBytes = 0
  for await (const chunk of entry) sizeBytes += chunk.length
  return sizeBytes
}

/** The file appears whole or not at all. */
async function whole(file: string, write: (temporary: string) => Promise<void>): Promise<void> {
  await mkdir(dirname(file), {recursive: true})
  const temporary = `${file}.${process.pid}.tmp`
  try {
    await write(temporary)
    await rename(temporary, file)
  } finally {
    await rm(temporary, {force: true})
  }
}

function missing(archive: string, names: readonly string[]): BundleError {
  return new BundleError('BUILD_FAILED', `${archive} does not hold ${names.join(', ')}`)
}
