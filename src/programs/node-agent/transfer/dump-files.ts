import {constants, type Stats} from 'node:fs'
import {lstat, open, readdir, type FileHandle} from 'node:fs/promises'
import {join} from 'node:path'
import {crc32} from 'node:zlib'
import {CheckpointError} from '../../../checkpoint/errors.ts'
import {unlessMissing} from '../../../base/system-errors.ts'
import {PIECE_BYTES} from './frames.ts'

/** The folder of a container's dump. */
export interface ContainerFolder {
  readonly name: string
  readonly folder: string
}

export interface DumpFile {
  readonly container: string
  /** Below the folder of the container. */
  readonly path: string
  readonly absolute: string
  readonly sizeBytes: number
}

/** CRIU writes these from their beginning to their end: what is there is final. */
const GROWING = /^pages-\d+\.img$/
/** Folder of a round of pre-copy. */
const ROUND = /^pre-\d$/
const IMAGES = 'checkpoint'

/** Files of a dump that may still grow, and whose bytes stay as they are. */
export async function growingFiles({name, folder}: ContainerFolder): Promise<readonly DumpFile[]> {
  const images = (await readdir(join(folder, IMAGES)).catch(unlessMissing)) ?? []
  const rounds = images.filter((one) => ROUND.test(one)).sort()
  const found: DumpFile[] = []
  for (const below of [...rounds.map((round) => `${IMAGES}/${round}`), IMAGES])
    found.push(...(await growingIn(below, {name, folder})))
  return found
}

async function growingIn(below: string, {name, folder}: ContainerFolder): Promise<readonly DumpFile[]> {
  const names = (await readdir(join(folder, below)).catch(unlessMissing)) ?? []
  const found: DumpFile[] = []
  for (const file of names.filter((one) => GROWING.test(one)).sort()) {
    const path = `${below}/${file}`
    const absolute = join(folder, path)
    const stats = await lstat(absolute).catch(unlessMissing)
    if (stats?.isFile() === true) found.push({container: name, path, absolute, sizeBytes: stats.size})
  }
  return found
}

/** All files of a complete dump, in a fixed order: the small ones first. Throws CheckpointError CHECKPOINT_FAILED. */
export async function allFiles({name, folder}: ContainerFolder): Promise<readonly DumpFile[]> {
  const entries = await readdir(folder, {withFileTypes: true, recursive: true})
  const found: DumpFile[] = []
  for (const entry of entries.filter((one) => !one.isDirectory())) {
    const absolute = join(entry.parentPath, entry.name)
    if (!entry.isFile())
      throw new CheckpointError('CHECKPOINT_FAILED', `the dump contains ${absolute}, which is not a file`)
    const {size} = await lstat(absolute)
    found.push({container: name, path: absolute.slice(folder.length + 1), absolute, sizeBytes: size})
  }
  return found.sort((a, b) => a.sizeBytes - b.sizeBytes || (a.path < b.path ? -1 : 1))
}

/** Opens a file for reading, and never what a link leads to. */
export const openFile = (path: string): Promise<FileHandle> =>
  open(path, constants.O_RDONLY | constants.O_NOFOLLOW)

export const isSameFile = (a: Stats, b: Stats): boolean => a.ino === b.ino && a.dev === b.dev

/** Fills the buffer from a file; gives how many bytes there were. */
export async function readFully(file: FileHandle, into: Buffer, offset: number): Promise<number> {
  let filled = 0
  while (filled < into.length) {
    const {bytesRead} = await file.read(into, filled, into.length - filled, offset + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return filled
}

export const pieceCount = (sizeBytes: number): number => Math.max(1, Math.ceil(sizeBytes / PIECE_BYTES))

/** CRC-32 of the CRC-32s of the pieces of a file. */
export function crcOfPieces(crcs: readonly number[]): number {
  const bytes = Buffer.alloc(crcs.length * 4)
  crcs.forEach((crc, index) => bytes.writeUInt32BE(crc, index * 4))
  return crc32(bytes)
}
