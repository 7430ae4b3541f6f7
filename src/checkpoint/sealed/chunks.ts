import {crc32} from 'node:zlib'
import {copyInto, MAX_CHUNK_BYTES} from './chunk-buffers.ts'

const MIN_CHUNK_BYTES = 1024 * 1024
/** Members above this have pieces of their own: memory pages, and files that were changed. */
const OWN_CHUNK_BYTES = 64 * 1024
const PAGE_BYTES = 4096
/** One page in so many ends a piece: pieces are then 2 MiB on average. */
const PAGES_PER_CUT = 256
const BLOCK_BYTES = 512

/** Stands in a stream of an archive for the next bytes of a large member, whose pieces are sealed. */
export interface SealedBytes<Piece> {
  readonly sizeBytes: number
  readonly pieces: readonly Piece[]
}

/**
 * Cuts an uncompressed tar into pieces so that what two archives have in common gives equal pieces: the data of a
 * large member begins and ends a piece (its header, which holds a time, does not belong to it), and inside it a
 * piece ends after a page whose own content says so. A page that was added to a process then moves the pieces
 * after it, but does not change them. What is no tar is cut all the same. `take` gives the memory of the next piece.
 */
export async function* cutArchive<Piece = never>(
  content: AsyncIterable<Uint8Array | SealedBytes<Piece>>,
  take: () => Buffer = newPiece,
): AsyncGenerator<Buffer | SealedBytes<Piece>> {
  const reader = new TarWalk()
  const cut = new Cut(take)
  for await (const bytes of content) {
    if (!(bytes instanceof Uint8Array)) {
      const before = cut.end()
      if (before !== undefined) yield before
      reader.pass(bytes.sizeBytes)
      yield bytes
      continue
    }
    for (let at = 0; at < bytes.length;) {
      const step = reader.step(bytes.subarray(at, at + cut.roomBytes), (data, done) => cut.pages(data, done))
      const piece = cut.add(bytes.subarray(at, at + step.bytes), step)
      if (piece !== undefined) yield piece
      at += step.bytes
    }
  }
  const last = cut.end()
  if (last !== undefined) yield last
}

/**
 * Cuts the data of a large member, whose pages come in buffers of whole pages, just as `cutArchive` does; what follows
 * the last cut is left out, since more data may end it elsewhere.
 */
export async function* cutPages(
  content: AsyncIterable<Uint8Array>,
  take: () => Buffer = newPiece,
): AsyncGenerator<Buffer> {
  const cut = new Cut(take)
  for await (const bytes of content) {
    for (let at = 0; at < bytes.length;) {
      const pages = cut.pages(bytes.subarray(at, at + cut.roomBytes), 0)
      const piece = cut.add(bytes.subarray(at, at + pages), {cutAfter: false, endsPage: true})
      if (piece !== undefined) yield piece
      at += pages
    }
  }
}

const newPiece = (): Buffer => Buffer.allocUnsafe(MAX_CHUNK_BYTES)

/** The piece that is being filled. */
class Cut {
  readonly #take: () => Buffer
  #chunk: Buffer | undefined
  #filled = 0

  constructor(take: () => Buffer) {
    this.#take = take
  }

  get roomBytes(): number {
    return MAX_CHUNK_BYTES - this.#filled
  }

  /** How many of these bytes of a large member belong to the piece; before them there are `done` of that member. */
  pages(bytes: Uint8Array, done: number): number {
    const begun = done % PAGE_BYTES
    if (begun > 0) return Math.min(bytes.length, PAGE_BYTES - begun)
    const least = Math.max(1, Math.ceil((MIN_CHUNK_BYTES - this.#filled) / PAGE_BYTES)) * PAGE_BYTES
    for (let at = least; at <= bytes.length; at += PAGE_BYTES) if (endsPiece(bytes, at)) return at
    return bytes.length
  }

  /** Gives the piece if these bytes, for which there is room, end it. */
  add(bytes: Uint8Array, {cutAfter, endsPage}: Omit<Step, 'bytes'>): Buffer | undefined {
    const chunk = (this.#chunk ??= this.#take())
    copyInto(chunk, bytes, this.#filled)
    this.#filled += bytes.length
    const pageEnds = endsPage && this.#filled >= MIN_CHUNK_BYTES && endsPiece(chunk, this.#filled)
    return this.#filled === MAX_CHUNK_BYTES || cutAfter || pageEnds ? this.end() : undefined
  }

  end(): Buffer | undefined {
    const piece = this.#filled === 0 ? undefined : this.#chunk?.subarray(0, this.#filled)
    if (piece === undefined) return undefined
    this.#chunk = undefined
    this.#filled = 0
    return piece
  }
}

/** Whether the page that ends there ends a piece. */
const endsPiece = (bytes: Uint8Array, at: number): boolean =>
  crc32(bytes.subarray(at - PAGE_BYTES, at)) % PAGES_PER_CUT === 0

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

  /** Takes at most up to the next place that matters; `pages` tells how many bytes of a large member that is. */
  step(bytes: Uint8Array, pages: (data: Uint8Array, done: number) => number): Step {
    return this.#left === 0 ? this.#headerStep(bytes) : this.#dataStep(bytes.subarray(0, this.#left), pages)
  }

  /** Goes on after bytes of a member that are not offered. */
  pass(sizeBytes: number): void {
    if (sizeBytes > this.#left) throw new RangeError('what is left out is larger than its member')
    this.#left -= sizeBytes
    this.#done += sizeBytes
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

  #dataStep(bytes: Uint8Array, pages: (data: Uint8Array, done: number) => number): Step {
    const taken = this.#large ? pages(bytes, this.#done) : bytes.length
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
