import {randomUUID} from 'node:crypto'
import {createReadStream} from 'node:fs'
import {lstat, open, readdir, rm, utimes, type FileHandle} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {isMissing, systemCode} from '../../base/system-errors.ts'
import {absentWhere} from './problems.ts'
import {makeFolderDurably, putInPlace} from '../../base/durable-files.ts'
import type {Objects, ObjectWrite, StoredObject, StoreProblem} from './objects.ts'

/** Of files that are being written: no key begins so. */
const PARTIAL = 'partial'
const READ_BYTES = 1 << 20

/** A folder: of the node, of a volume that is mounted, of a share. Files are of mode 0600, folders of 0700. */
export function directoryObjects(folder: string): Objects {
  const pathOf = (key: string): string => join(folder, key)
  return {
    location: folder,
    stat: async (key) => unlessAbsent(() => objectAt(pathOf(key), key)),
    write: async (request) => {
      await write(folder, pathOf(request.key), request)
      return undefined
    },
    read: async (key, fromByte, signal) => {
      const file = await unlessAbsent(() => open(pathOf(key), 'r'))
      if (file === undefined) return undefined
      return createReadStream('', {fd: file, start: fromByte, highWaterMark: READ_BYTES, signal})
    },
    readInto: (key, into, signal) => unlessAbsent(() => readInto(pathOf(key), into, signal)),
    list: (prefix) => filesBelow(folder, prefix.replace(/\/$/, '')),
    remove: async (key) => {
      await rm(pathOf(key), {force: true})
    },
    touch: async (key) => {
      const now = new Date()
      await unlessAbsent(() => utimes(pathOf(key), now, now))
    },
    removePartial: async (beforeMs) => {
      for await (const {key, modifiedAtMs} of filesBelow(folder, PARTIAL)) {
        if (modifiedAtMs < beforeMs) await rm(pathOf(key), {force: true})
      }
    },
    problemOf,
  }
}

async function write(folder: string, path: string, {content, signal}: ObjectWrite): Promise<void> {
  const partial = join(folder, PARTIAL, randomUUID())
  for (const made of [dirname(partial), dirname(path)]) await makeFolderDurably(made)
  try {
    await using file = await open(partial, 'wx', 0o600)
    await fill(file, content, signal)
    await putInPlace(file, partial, path)
  } catch (error) {
    await rm(partial, {force: true})
    throw error
  }
}

async function fill(
  file: FileHandle,
  content: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  for await (const piece of content) {
    signal.throwIfAborted()
    for (let from = 0; from < piece.length;) {
      const {bytesWritten} = await file.write(piece, from)
      from += bytesWritten
    }
  }
  signal.throwIfAborted()
}

async function readInto(path: string, into: Uint8Array, signal: AbortSignal): Promise<number> {
  await using file = await open(path, 'r')
  const {size} = await file.stat()
  for (let at = 0; at < Math.min(size, into.length);) {
    signal.throwIfAborted()
    const {bytesRead} = await file.read(into, at, into.length - at, at)
    // It has become smaller meanwhile.
    if (bytesRead === 0) return at
    at += bytesRead
  }
  return size
}

async function objectAt(path: string, key: string): Promise<StoredObject | undefined> {
  const found = await lstat(path)
  return found.isFile() ? {key, sizeBytes: found.size, modifiedAtMs: found.mtimeMs} : undefined
}

async function* filesBelow(folder: string, key: string): AsyncGenerator<StoredObject> {
  const entries = await unlessAbsent(() => readdir(join(folder, key), {withFileTypes: true}))
  for (const entry of entries ?? []) {
    const child = `${key}/${entry.name}`
    if (entry.isDirectory()) yield* filesBelow(folder, child)
    else {
      const object = await unlessAbsent(() => objectAt(join(folder, child), child))
      if (object !== undefined) yield object
    }
  }
}

const unlessAbsent = absentWhere(isMissing)

function problemOf(error: unknown): StoreProblem | undefined {
  const code = systemCode(error)
  switch (code) {
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return {kind: 'refused', words: `permission denied (${code})`}
    case 'ENOSPC':
    case 'EDQUOT':
      return {kind: 'refused', words: `no space left (${code})`}
    case 'ENOTDIR':
    case 'ESTALE':
    case 'EIO':
      return {kind: 'absent', words: code}
    default:
      return undefined
  }
}
