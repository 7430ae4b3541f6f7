import {crc32} from 'node:zlib'

/** No piece of an archive is larger, open. */
export const MAX_CHUNK_BYTES = 4 * 1024 * 1024
const MIN_CHUNK_BYTES = 1024 * 1024
/** Members above this have pieces of their own: memory pages, and files that were changed. */
const OWN_CHUNK_BYTES = 64 * 1024
const PAGE_BYTES = 4096
/** One page in so many ends a piece: pieces are then 2 MiB on average. */
const PAGES_PER_CUT = 256
const BLOCK_BYTES = 512

/**
 * Cuts an uncompressed tar into pieces so that what two archives have in common gives equal pieces: the data of a
 * large member begins and ends a piece (its header, which holds a time, does not belong to it), and inside it a
 * piece ends after a page whose own content says so. A page that was added to a process then moves the pieces
 * after it, but does not change them. What is no tar is cut all the same. `take` gives the memory of the next piece.
 */
export async function* cutArchive(
  content: AsyncIterable<Uint8Array>,
  take: () => Buffer = () => Buffer.allocUnsafe(MAX_CHUNK_BYTES),
): AsyncGenerator<Buffer> {
  const reader = new TarWalk()
  let chunk = take()
  let filled = 0
  for await (const bytes of content) {
    for (let at = 0; at < bytes.length;) {
      const room = Math.min(bytes.length - at, MAX_CHUNK_BYTES - filled)
      const step = reader.step(bytes.subarray(at, at + room))
      chunk.set(bytes.subarray(at, at + step.bytes), filled)
      at += step.bytes
      filled += step.bytes
      const pageEnds = step.endsPage && filled >= MIN_CHUNK_BYTES && endsChunk(chunk, filled)
      if (filled < MAX_CHUNK_BYTES && !step.cutAfter && !pageEnds) continue
      if (filled === 0) continue
      yield chunk.subarray(0, filled)
      chunk = take()
      filled = 0
    }
  }
  if (filled > 0) yield chunk.subarray(0, filled)
}

const endsChunk = (chunk: Buffer, filled: number): boolean =>
  crc32(chunk.subarray(filled - PAGE_BYTES, filled)) % PAGES_PER_CUT === 0

interface Step {
  /** How many of the offered bytes it took. */
  readonly bytes: number
  readonly cutAfter: boolean
  readonly endsPage: boolean
}

/** Follows the headers of a tar that comes in pieces of any size. */
class TarWalk {
  readonly #header = Buffer.alloc(BLOCK_BYTES)
  #headerFilled = 0
  /** Of the member's data, with its padding. */
  #left = 0
  #done = 0
  #large = false

  /** Takes at most up to the next place that matters. */
  step(bytes: Uint8Array): Step {
    return this.#left === 0 ? this.#headerStep(bytes) : this.#dataStep(bytes)
  }

  #headerStep(bytes: Uint8Array): Step {
    const taken = Math.min(bytes.length, BLOCK_BYTES - this.#headerFilled)
    this.#header.set(bytes.subarray(0, taken), this.#headerFilled)
    this.#headerFilled += taken
    if (this.#headerFilled < BLOCK_BYTES) return {bytes: taken, cutAfter: false, endsPage: false}
    this.#headerFilled = 0
    const sizeBytes = memberBytes(this.#header)
    this.#left = Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES
    this.#done = 0
    this.#large = sizeBytes > OWN_CHUNK_BYTES
    return {bytes: taken, cutAfter: this.#large, endsPage: false}
  }

  #dataStep(bytes: Uint8Array): Step {
    const untilPage = this.#large ? PAGE_BYTES - (this.#done % PAGE_BYTES) : this.#left
    const taken = Math.min(bytes.length, this.#left, untilPage)
    this.#left -= taken
    this.#done += taken
    const cutAfter = this.#large && this.#left === 0
    return {bytes: taken, cutAfter, endsPage: this.#large && this.#done % PAGE_BYTES === 0}
  }
}

/** Size of the member's data; 0 for what is no header. A wrong guess costs equal pieces, never content. */
function memberBytes(header: Buffer): number {
  if (header.toString('latin1', 257, 262) !== 'ustar') return 0
  // GNU: a set top bit says that a big-endian number follows.
  const first = header[124] ?? 0
  const size =
    first >= 0x80
      ? header.readUIntBE(130, 6)
      : Number.parseInt(header.toString('latin1', 124, 136).replace(/[\0 ].*$/s, ''), 8)
  return Number.isSafeInteger(size) ? size : 0
}
