import {CheckpointError} from '../errors.ts'
import type {Digest} from './blob-store.ts'
import {checkedContent} from './content.ts'
import type {Objects, StoredObject} from './objects.ts'
import type {Patience} from '../../base/waiting.ts'
import {askStore} from './problems.ts'

/** What a BlobStore does with its objects, each call tried again when the trouble may pass. */
export interface PersistentObjects {
  stat(key: string, signal: AbortSignal): Promise<StoredObject | undefined>
  list(prefix: string, signal: AbortSignal): Promise<readonly StoredObject[]>
  remove(key: string, signal: AbortSignal): Promise<void>
  /** Looks once more right before, in each attempt. Undefined: it is gone, or was touched since. */
  removeOlder(key: string, beforeMs: number, signal: AbortSignal): Promise<StoredObject | undefined>
  touch(key: string, signal: AbortSignal): Promise<void>
  removePartial(beforeMs: number, signal: AbortSignal): Promise<void>
  /** Goes on where it was when a connection breaks. Undefined: no such object. */
  read(key: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array> | undefined>
  /** As that of the objects; absent: they cannot. */
  readonly readInto?: (key: string, into: Uint8Array, signal: AbortSignal) => Promise<number | undefined>
  /**
   * Gives whether it is proven, if that is asked for. Throws CheckpointError BLOB_TAMPERED when the content is not what
   * the digest says, and what `content` throws.
   */
  write(request: CheckedWrite): Promise<boolean>
}

export interface CheckedWrite {
  readonly key: string
  readonly digest: Digest
  readonly sizeBytes: number
  /** Asked for once per attempt. */
  readonly content: () => AsyncIterable<Uint8Array>
  /** The digest was just computed of these very bytes. */
  readonly isHashed?: boolean
  readonly prove?: boolean
  readonly replace: boolean
  readonly signal: AbortSignal
}

export function persistentObjects(
  objects: Objects,
  {pauseMs, patience}: {readonly pauseMs: number; readonly patience?: Patience | undefined},
): PersistentObjects {
  const {location} = objects
  const problemOf = (error: unknown) => objects.problemOf(error)
  const checksChecksums = checksumProbe(objects)
  const attempt: Attempt = (work, signal) => askStore(work, {location, problemOf, pauseMs, patience}, signal)
  return {
    stat: (key, signal) => attempt(() => objects.stat(key, signal), signal),
    list: (prefix, signal) =>
      attempt(async () => {
        const found: StoredObject[] = []
        for await (const object of objects.list(prefix, signal)) found.push(object)
        return found
      }, signal),
    remove: (key, signal) => attempt(() => objects.remove(key, signal), signal),
    removeOlder: (key, beforeMs, signal) =>
      attempt(async () => {
        const found = await objects.stat(key, signal)
        if (found === undefined || found.modifiedAtMs >= beforeMs) return undefined
        await objects.remove(key, signal)
        return found
      }, signal),
    touch: (key, signal) => attempt(() => objects.touch(key, signal), signal),
    removePartial: (beforeMs, signal) => attempt(() => objects.removePartial(beforeMs, signal), signal),
    read: async (key, signal) => {
      const open: Open = (fromByte) => objects.read(key, fromByte, signal)
      const source = await attempt(() => open(0), signal)
      return source === undefined ? undefined : goingOn(source, open, (work) => attempt(work, signal))
    },
    ...(objects.readInto === undefined
      ? {}
      : {
          readInto: (key, into, signal) => attempt(async () => objects.readInto?.(key, into, signal), signal),
        }),
    write: async ({key, replace, digest, sizeBytes, content, isHashed = false, prove = false, signal}) => {
      const attempted = async () => {
        const given = content()
        const source = new Source(isHashed ? given : checkedContent(given, {digest, location, sizeBytes}))
        const request = {key, replace, digest, sizeBytes, content: source, signal}
        return objects.write(request).catch((error: unknown) => {
          signal.throwIfAborted()
          throw source.fault ?? error
        })
      }
      const confirm = await attempt(attempted, signal).catch((error: unknown) => {
        throw error instanceof SourceFault ? error.fault : error
      })
      if (!prove || confirm === undefined || !(await checksChecksums(signal))) return false
      return attempt(() => confirm(signal), signal).catch(unlessRefused)
    },
  }
}

type Attempt = <T>(work: () => Promise<T>, signal: AbortSignal) => Promise<T>
type Open = (fromByte: number) => Promise<AsyncIterable<Uint8Array> | undefined>

/**
 * Asks once whether the service checks what it is sent. What cannot be found out is not so: the caller reads back, as from
 * a service that does not.
 */
function checksumProbe(objects: Objects): (signal: AbortSignal) => Promise<boolean> {
  let asked: Promise<boolean> | undefined
  return async (signal) => {
    asked ??= (objects.refusesWrongChecksum?.(signal) ?? Promise.resolve(false)).catch(() => false)
    const isChecked = await asked
    signal.throwIfAborted()
    return isChecked
  }
}

/** A service that does not answer what is asked of it may still give what it holds. */
function unlessRefused(error: unknown): false {
  if (error instanceof CheckpointError && error.code === 'STORE_REFUSED') return false
  throw error
}

/** The source and, when it breaks, what is opened from the byte on that came last. */
async function* goingOn(
  source: AsyncIterable<Uint8Array>,
  open: Open,
  attempt: <T>(work: () => Promise<T>) => Promise<T>,
): AsyncGenerator<Uint8Array> {
  let bytes = 0
  const at: {pieces: AsyncIterator<Uint8Array> | undefined} = {pieces: source[Symbol.asyncIterator]()}
  try {
    for (;;) {
      const step: IteratorResult<Uint8Array> = await attempt(async () => {
        at.pieces ??= (await open(bytes))?.[Symbol.asyncIterator]()
        if (at.pieces === undefined) return {done: true, value: undefined}
        try {
          return await at.pieces.next()
        } catch (error) {
          at.pieces = undefined
          throw error
        }
      })
      if (step.done === true) return
      bytes += step.value.length
      yield step.value
    }
  } finally {
    await at.pieces?.return?.()
  }
}

/** Remembers that it was the source that failed: its error is none of the store, whatever it looks like. */
class Source implements AsyncIterable<Uint8Array> {
  fault: SourceFault | undefined
  readonly #content: AsyncIterable<Uint8Array>

  constructor(content: AsyncIterable<Uint8Array>) {
    this.#content = content
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#content
    } catch (error) {
      this.fault = new SourceFault(error)
      throw error
    }
  }
}

/** Not by `cause`, where a broken connection of the source would be taken for one of the store. */
class SourceFault extends Error {
  readonly fault: unknown

  constructor(fault: unknown) {
    super('the content could not be read')
    this.fault = fault
  }
}
