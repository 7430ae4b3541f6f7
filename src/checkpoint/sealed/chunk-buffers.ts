/** No piece of an archive is larger, open. */
export const MAX_CHUNK_BYTES = 4 * 1024 * 1024
/** Around a piece in its buffer: the nonce before it, the tag after it. A piece is so encrypted where it lies. */
export const BEFORE_BYTES = 12
export const AFTER_BYTES = 16
const PAGE_BYTES = 4096
/** No other buffer has this size. */
const BUFFER_BYTES = MAX_CHUNK_BYTES + PAGE_BYTES

/** More than that are given up as soon as they are free. */
const MAX_FREE = 16

/**
 * Buffers of pieces that are used again and again. They are shared with the threads that work on them, one at a time:
 * memory that is handed over from thread to thread makes V8 collect garbage for every piece, which takes longer than to
 * encrypt it.
 */
export class ChunkBuffers {
  readonly #free: SharedArrayBuffer[] = []

  /** Room for one piece, and around it for what seals it. */
  take(): Buffer {
    return Buffer.from(this.#next(), BEFORE_BYTES, MAX_CHUNK_BYTES)
  }

  /** Room for a blob; of its own for one that is larger than any sealed piece. */
  takeFor(sizeBytes: number): Buffer {
    return sizeBytes > BUFFER_BYTES ? Buffer.alloc(sizeBytes) : Buffer.from(this.#next(), 0, sizeBytes)
  }

  /** Takes back the buffer in which these bytes lie, which nobody uses any more. Of other memory nothing is taken. */
  release({buffer}: Uint8Array): void {
    if (isOurs(buffer) && this.#free.length < MAX_FREE && !this.#free.includes(buffer))
      this.#free.push(buffer)
  }

  #next(): SharedArrayBuffer {
    return this.#free.pop() ?? new SharedArrayBuffer(BUFFER_BYTES)
  }
}

/** Those of this program. */
export const chunkBuffers = new ChunkBuffers()

const isOurs = (buffer: ArrayBufferLike): buffer is SharedArrayBuffer =>
  buffer instanceof SharedArrayBuffer && buffer.byteLength === BUFFER_BYTES

/** Memory for a sealed piece of that size: where the piece lies itself, if it lies in such a buffer. */
export function roomAround({buffer, byteOffset}: Uint8Array, sealedBytes: number): Buffer {
  return isOurs(buffer) && byteOffset === BEFORE_BYTES && sealedBytes <= BUFFER_BYTES
    ? Buffer.from(buffer, 0, sealedBytes)
    : Buffer.allocUnsafeSlow(sealedBytes)
}

/** What was opened, in the buffer of the blob that it was opened from, if that is one of these. */
export function placedIn({buffer}: Uint8Array, plain: Buffer): Buffer {
  if (!isOurs(buffer) || plain.buffer === buffer) return plain
  const place = Buffer.from(buffer, 0, plain.length)
  copyInto(place, plain)
  return place
}

/**
 * Copies bytes. `set` copies into memory that threads share word by word, in twelve times the time; `fill` with as many
 * bytes as there is room for copies them at once.
 */
export function copyInto(target: Buffer, bytes: Uint8Array, at = 0): void {
  // Fill repeats what is too short, and takes none for a mistake.
  if (at + bytes.length > target.length) throw new RangeError('there is no room for what is copied')
  if (bytes.length > 0) target.fill(bytes, at, at + bytes.length)
}
