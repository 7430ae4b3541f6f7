import {lstat, open, readdir, type FileHandle} from 'node:fs/promises'
import {join} from 'node:path'
import {tarHeader, tarPadding, TAR_END, type SkippableBytes} from '../../checkpoint/archive/tar.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {MOST_ROUNDS} from '../../checkpoint/archive/pre-copy.ts'
import {mergedDump, type MergedFiles} from './merged-dump.ts'

const READ_BYTES = 1024 * 1024
const SKIM_BYTES = 64 * 1024

/** Part of a tar that is not written anywhere: bytes that are there, or those of a file from `at` on. */
interface Segment {
  readonly startBytes: number
  readonly sizeBytes: number
  readonly content: Content
}

/** `name`: of a whole file, in the tar. */
type Content = Buffer | {readonly path: string; readonly at: number; readonly name?: string}

/** Stands for the first bytes of a file. */
export interface FirstBytes {
  readonly sizeBytes: number
}

/** A folder of a dump as the tar that a runtime would have made of it. */
export interface FolderTar {
  readonly sizeBytes: number
  /** A piece is there until the next one is asked for. */
  read(): AsyncIterable<Uint8Array>
  /** The same, with something in place of the first bytes of files, which are named by their paths. */
  readRest<Run extends FirstBytes>(instead: ReadonlyMap<string, Run>): AsyncIterable<Uint8Array | Run>
  /** The same in pieces that stay, for whoever wants only some of it. */
  skim(): SkippableBytes
}

/**
 * The tar of a folder to which nothing writes any more: small files first, memory pages last, always in the same order.
 * Rounds of pre-copy are not in it: their pages are where a dump without them would have them. Throws CheckpointError
 * CHECKPOINT_FAILED for what is neither a file nor a folder.
 */
export async function folderTar(folder: string): Promise<FolderTar> {
  const merged = await mergedDump(join(folder, 'checkpoint'))
  const files = withMerged(await filesBelow(folder, ''), folder, merged).toSorted(inOrder)
  const segments: Segment[] = []
  let sizeBytes = 0
  const add = (bytes: number, content: Content): void => {
    if (bytes > 0) segments.push({startBytes: sizeBytes, sizeBytes: bytes, content})
    sizeBytes += bytes
  }
  for (const {name, bytes, parts} of files) {
    const [header, padding] = [tarHeader(name, bytes), tarPadding(bytes)]
    add(header.length, header)
    for (const part of parts) add(part.bytes, part.content)
    add(padding.length, padding)
  }
  add(TAR_END.length, TAR_END)
  return {
    sizeBytes,
    read: () => wholeOf(segments, new Map<string, never>()),
    readRest: (instead) => wholeOf(segments, instead),
    skim: () => skimmed(segments),
  }
}

interface Member {
  readonly name: string
  readonly bytes: number
  readonly parts: readonly {readonly bytes: number; readonly content: Content}[]
}

/** With the files of a dump after rounds of pre-copy in place of its own, and of those of the rounds. */
function withMerged(
  members: readonly Member[],
  folder: string,
  merged: MergedFiles | undefined,
): readonly Member[] {
  if (merged === undefined) return members
  const kept = members.filter(
    ({name}) => !/^checkpoint\/pre-\d\//.test(name) && !merged.has(name.replace('checkpoint/', '')),
  )
  const made = [...merged].map(([image, content]) => {
    const parts = Buffer.isBuffer(content)
      ? [{bytes: content.length, content}]
      : content.map(({file, at, sizeBytes}) => ({
          bytes: sizeBytes,
          content: {path: join(folder, 'checkpoint', file), at},
        }))
    return {name: `checkpoint/${image}`, bytes: parts.reduce((sum, {bytes}) => sum + bytes, 0), parts}
  })
  return [...kept, ...made]
}

async function filesBelow(folder: string, below: string): Promise<Member[]> {
  const found: Member[] = []
  for (const entry of await readdir(join(folder, below), {withFileTypes: true})) {
    const name = join(below, entry.name)
    if (entry.isDirectory()) found.push(...(await filesBelow(folder, name)))
    else if (entry.isFile()) {
      const path = join(folder, name)
      const bytes = (await lstat(path)).size
      found.push({name, bytes, parts: [{bytes, content: {path, at: 0, name}}]})
    } else throw failed(`${name} is neither a file nor a directory`)
  }
  return found
}

/** What an inspection reads lies together at the beginning; files of the container and pages are big. */
function inOrder(one: Member, other: Member): number {
  const difference = rankOf(one.name) - rankOf(other.name)
  return difference === 0 ? Number(one.name > other.name) - Number(one.name < other.name) : difference
}

function rankOf(name: string): number {
  if (/^checkpoint\/pages-.*\.img$/.test(name)) return 3
  if (name.endsWith('.tar')) return 2
  return name.startsWith('checkpoint/') ? 1 : 0
}

async function* wholeOf<Run extends FirstBytes>(
  segments: readonly Segment[],
  instead: ReadonlyMap<string, Run>,
): AsyncGenerator<Uint8Array | Run> {
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  await using files = new OpenFiles()
  for (const {sizeBytes, content} of segments) {
    if (!('path' in content)) {
      yield content
      continue
    }
    const run = content.name === undefined ? undefined : instead.get(content.name)
    if (run !== undefined) yield run
    const file = await files.open(content.path)
    for (let done = run?.sizeBytes ?? 0; done < sizeBytes;) {
      const [at, bytes] = [content.at + done, Math.min(READ_BYTES, sizeBytes - done)]
      const bytesRead = await readAt(file, buffer, at, bytes, content.path)
      done += bytesRead
      yield buffer.subarray(0, bytesRead)
    }
  }
}

function skimmed(segments: readonly Segment[]): SkippableBytes {
  let at = 0
  return {
    skip: (sizeBytes) => (at += sizeBytes),
    async *[Symbol.asyncIterator]() {
      await using files = new OpenFiles()
      for (const {startBytes, sizeBytes, content} of segments) {
        const endBytes = startBytes + sizeBytes
        if (at >= endBytes) continue
        if (!('path' in content)) {
          const from = at - startBytes
          at = endBytes
          yield content.subarray(from)
          continue
        }
        const file = await files.open(content.path)
        while (at < endBytes) {
          const buffer = Buffer.allocUnsafe(Math.min(SKIM_BYTES, endBytes - at))
          const from = content.at + at - startBytes
          const bytesRead = await readAt(file, buffer, from, buffer.length, content.path)
          at += bytesRead
          yield buffer.subarray(0, bytesRead)
        }
      }
    },
  }
}

/** The last files that were opened: pages of some rounds of pre-copy may alternate. */
class OpenFiles implements AsyncDisposable {
  readonly #open = new Map<string, FileHandle>()

  async open(path: string): Promise<FileHandle> {
    const known = this.#open.get(path)
    if (known !== undefined) return known
    if (this.#open.size > MOST_ROUNDS) await this[Symbol.asyncDispose]()
    const file = await open(path)
    this.#open.set(path, file)
    return file
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const files = [...this.#open.values()]
    this.#open.clear()
    await Promise.all(files.map((file) => file.close()))
  }
}

async function readAt(
  file: FileHandle,
  buffer: Buffer,
  at: number,
  bytes: number,
  path: string,
): Promise<number> {
  const {bytesRead} = await file.read(buffer, 0, bytes, at)
  if (bytesRead > 0) return bytesRead
  throw failed(`${path} became shorter while it was read`)
}

const failed = (why: string): CheckpointError =>
  new CheckpointError('CHECKPOINT_FAILED', `invalid folder of a dump: ${why}`)
