import type {Digest} from './blob-store.ts'

export interface StoredObject {
  readonly key: string
  readonly sizeBytes: number
  /** By the clock of the store. */
  readonly modifiedAtMs: number
}

export interface ObjectWrite {
  readonly key: string
  /** Of the content, which is sent only as far as it is just this. */
  readonly digest: Digest
  readonly sizeBytes: number
  readonly content: AsyncIterable<Uint8Array>
  /** False: what is there already may stay, it is the same. */
  readonly replace: boolean
  readonly signal: AbortSignal
}

/**
 * Asks the service whether what was just written is there, with the checksum that it computed itself. False: it does not
 * say so, and only reading it back shows what is there.
 */
export type ConfirmWrite = (signal: AbortSignal) => Promise<boolean>

/** What an error of a store means. */
export interface StoreProblem {
  /** `passing`: it may go by itself. `refused`: the store says no. `absent`: there is no such place. */
  readonly kind: 'passing' | 'refused' | 'absent'
  /** What the store said, for a person. */
  readonly words: string
}

/**
 * Named bytes somewhere: what a directory, a bucket and a container have in common, and all that an adapter does.
 * Keys are of letters, digits, `.`, `_`, `-` and `/`. Errors are the adapter's own; `problemOf` says what they mean.
 */
export interface Objects {
  /** For people: `s3://bucket/prefix`. */
  readonly location: string
  stat(key: string, signal: AbortSignal): Promise<StoredObject | undefined>
  /**
   * All or nothing: when `content` throws, or the process dies, nothing is under that key. Undefined: nobody but a reader
   * can tell what was stored.
   */
  write(request: ObjectWrite): Promise<ConfirmWrite | undefined>
  /**
   * Whether the service refuses content that is not what its checksum says; tries it with a few bytes. Absent: it does
   * not. One that only repeats a checksum proves nothing.
   */
  refusesWrongChecksum?(signal: AbortSignal): Promise<boolean>
  /** From a byte on; ends at once when there is nothing from there on. Undefined: no such object. */
  read(key: string, fromByte: number, signal: AbortSignal): Promise<AsyncIterable<Uint8Array> | undefined>
  /** Reads a whole object into that memory, as far as it fits; gives its size. Undefined: no such object. */
  readInto?(key: string, into: Uint8Array, signal: AbortSignal): Promise<number | undefined>
  list(prefix: string, signal: AbortSignal): AsyncIterable<StoredObject>
  /** Absent is fine. */
  remove(key: string, signal: AbortSignal): Promise<void>
  /** Makes `modifiedAtMs` now; absent is fine. */
  touch(key: string, signal: AbortSignal): Promise<void>
  /** Removes what writers that died before `beforeMs` left half-done, where the store doesn't do it by itself. */
  removePartial(beforeMs: number, signal: AbortSignal): Promise<void>
  /** Undefined: not an error of the store. */
  problemOf(error: unknown): StoreProblem | undefined
}
