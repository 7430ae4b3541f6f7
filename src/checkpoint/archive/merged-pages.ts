import {CheckpointError} from '../errors.ts'
import {recordsOf} from './criu-images.ts'
import {numberField} from './protobuf.ts'

/** https://github.com/checkpoint-restore/criu/blob/v4.2/criu/include/pagemap.h */
const IN_PARENT = 1 << 0
const PRESENT = 1 << 2
const PAGE_BYTES = 4096

/** Pages of one process, or of shared memory, in one round: its pagemap, and where its pages are. */
export interface PagesOfRound {
  /** `pagemap-1.img`. */
  readonly name: string
  readonly pagemap: Uint8Array
  /** The file that the pagemap names, as whoever reads it calls it. */
  readonly pages: string
}

/** Bytes of a file. */
export interface Slice {
  readonly file: string
  readonly at: number
  readonly sizeBytes: number
}

interface Entry {
  readonly address: number
  readonly count: number
  readonly flags: number
}

/** Pages that are in a file, in the order of their addresses. */
interface Extent {
  readonly address: number
  readonly count: number
  readonly file: string
  readonly at: number
}

/** Number of the file of pages that a pagemap names: `pages-<number>.img`. Undefined: it is none. */
export const pagesIdOf = (name: string, pagemap: Uint8Array): number | undefined =>
  recordsOf(name, pagemap)[0]?.number(1)

/**
 * The pages of a dump that followed rounds of pre-copy as if there had been none: its pagemap, and what its file of pages
 * would have. `rounds`: the dump last, before it those rounds that have them, without a gap. Throws CheckpointError
 * CHECKPOINT_FAILED when pages are in none of them.
 */
export function mergedPages(rounds: readonly PagesOfRound[]): {
  readonly pagemap: Buffer
  readonly pages: readonly Slice[]
} {
  const last = rounds.at(-1)
  if (last === undefined) throw new Error('there is no round')
  const slices: Slice[] = []
  const entries: Entry[] = []
  for (const {address, count, flags, extents} of resolved(rounds)) {
    entries.push({address, count, flags: extents.length === 0 ? flags : (flags & ~IN_PARENT) | PRESENT})
    for (const {file, at, count: pages} of extents)
      addSlice(slices, {file, at, sizeBytes: pages * PAGE_BYTES})
  }
  return {pagemap: Buffer.concat([headOf(last), ...entries.map(entryBytes)]), pages: slices}
}

interface ResolvedEntry extends Entry {
  readonly extents: readonly Extent[]
}

/** The entries of the last round, and where the pages of each are. */
function resolved(rounds: readonly PagesOfRound[]): readonly ResolvedEntry[] {
  let before: readonly Extent[] = []
  let entries: readonly ResolvedEntry[] = []
  for (const round of rounds) {
    let at = 0
    entries = entriesOf(round).map((entry) => {
      const {address, count, flags} = entry
      if ((flags & IN_PARENT) !== 0) return {...entry, extents: partOf(before, address, count)}
      if ((flags & PRESENT) === 0) return {...entry, extents: []}
      const extent = {address, count, file: round.pages, at}
      at += count * PAGE_BYTES
      return {...entry, extents: [extent]}
    })
    before = entries.flatMap(({extents}) => extents)
  }
  return entries
}

/** Where so many pages from an address on are. */
function partOf(extents: readonly Extent[], address: number, count: number): readonly Extent[] {
  const found: Extent[] = []
  const end = address + count * PAGE_BYTES
  let next = address
  for (let index = firstAt(extents, address); next < end; index += 1) {
    const extent = extents[index]
    if (extent === undefined || extent.address > next)
      throw failed(`the page at 0x${next.toString(16)} is in no round of pre-copy`)
    const skipped = (next - extent.address) / PAGE_BYTES
    const taken = Math.min(extent.count - skipped, (end - next) / PAGE_BYTES)
    found.push({address: next, count: taken, file: extent.file, at: extent.at + skipped * PAGE_BYTES})
    next += taken * PAGE_BYTES
  }
  return found
}

/** Index of the first one that ends after the address. */
function firstAt(extents: readonly Extent[], address: number): number {
  let [low, high] = [0, extents.length]
  while (low < high) {
    const middle = (low + high) >> 1
    const extent = extents[middle]
    if (extent !== undefined && extent.address + extent.count * PAGE_BYTES <= address) low = middle + 1
    else high = middle
  }
  return low
}

function addSlice(slices: Slice[], next: Slice): void {
  const last = slices.at(-1)
  if (last?.file === next.file && last.at + last.sizeBytes === next.at)
    slices[slices.length - 1] = {...last, sizeBytes: last.sizeBytes + next.sizeBytes}
  else slices.push(next)
}

/**
 * The entries after the head. There may be one for every second page: they are read without a message of each, while a
 * pod is frozen. As `init_compat_pagemap_entry` of CRIU reads what older releases write.
 */
function entriesOf(round: PagesOfRound): readonly Entry[] {
  const {name, pagemap} = round
  const bytes = Buffer.from(pagemap.buffer, pagemap.byteOffset, pagemap.byteLength)
  const entries: Entry[] = []
  for (let at = headOf(round).length; at < bytes.length;) {
    const end = at + LENGTH_BYTES + (at + LENGTH_BYTES <= bytes.length ? bytes.readUInt32LE(at) : Infinity)
    if (end > bytes.length) throw failed(`${name} is cut off`)
    const fields = [0, 0, 0, 0, -1, -1]
    for (at += LENGTH_BYTES; at < end;) {
      const key = bytes[at] ?? 0
      if ((key & 7) !== VARINT) throw failed(`${name} is of a newer CRIU`)
      let value = 0
      let factor = 1
      do {
        at += 1
        value += ((bytes[at] ?? 0) & 0x7f) * factor
        factor *= 128
      } while ((bytes[at] ?? 0) >= 0x80)
      at += 1
      fields[key >> 3] = value
    }
    const [, address = 0, compatCount = 0, inParent = 0, flags = -1, count = -1] = fields
    entries.push({
      address,
      count: count === -1 ? compatCount : count,
      flags: inParent === 1 ? IN_PARENT | Math.max(0, flags) : flags === -1 ? PRESENT : flags,
    })
  }
  return entries
}

const VARINT = 0

/** The magic numbers of a pagemap and its first record, which names the file of its pages. */
function headOf({name, pagemap}: PagesOfRound): Uint8Array {
  if (pagesIdOf(name, pagemap) === undefined) throw failed(`${name} is invalid`)
  const bytes = Buffer.from(pagemap)
  return bytes.subarray(0, HEAD_START + LENGTH_BYTES + bytes.readUInt32LE(HEAD_START))
}

const HEAD_START = 8
const LENGTH_BYTES = 4

function entryBytes({address, count, flags}: Entry): Buffer {
  const fields = [
    numberField(1, address),
    numberField(2, count),
    numberField(4, flags),
    numberField(5, count),
  ]
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeUInt32LE(fields.reduce((sum, field) => sum + field.length, 0))
  return Buffer.concat([length, ...fields])
}

const failed = (why: string): CheckpointError =>
  new CheckpointError('CHECKPOINT_FAILED', `the memory of the dump is not complete: ${why}`)
