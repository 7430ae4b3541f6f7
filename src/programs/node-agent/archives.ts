import {randomBytes} from 'node:crypto'
import {mkdir, open, readdir, rename, rm, stat} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {unlessMissing} from '../../base/system-errors.ts'
import type {SkippableBytes} from '../../checkpoint/archive/tar.ts'
import {folderTar, type FirstBytes, type FolderTar} from './folder-tar.ts'

/** Where a dump is written: a file system of memory, or the disk. */
export type DumpPlace = 'memory' | 'disk'

/** A dump of a checkpoint that is written to folders. Each attempt is one of its own, and begins from nothing. */
export interface BegunDump {
  readonly attempt: string
  /** So large all of it is expected to be; 0: that is not known. */
  readonly expectedBytes: number
  /**
   * Its containers so far, in the order in which they are dumped. A folder is renamed when its container's dump is
   * whole: this gives the name that it has now, so whoever finds a path missing asks again.
   */
  readonly containers: ReadonlyMap<string, {readonly folder: string; readonly isWhole: boolean}>
}

/**
 * Dumps of containers until they are sealed or sent, for root alone: `clouder-<uid of the Checkpoint>-<container>`, a
 * folder, or with `.tar` the archive that the runtime made; while one is written, the same with an ending of its own.
 * What bears the first name is whole. A folder is read as the tar that it would be.
 */
export interface Archives {
  /** A path for the runtime to write a tar to, which nothing else ever writes to: a dump that nobody waits for may go on. */
  begin(checkpointUid: string, container: string): Promise<string>
  /** A new folder to dump to, empty, for the same. */
  beginFolder(checkpointUid: string, container: string, place: DumpPlace): Promise<string>
  /** Begins a dump to folders, and says how large all of it is expected to be. */
  expect(checkpointUid: string, expectedBytes: number): void
  /** Names what was written to a path of `begin` or `beginFolder` after its checkpoint; gives its size as a tar. */
  claim(path: string, checkpointUid: string, container: string): Promise<number>
  /** The folder of a container's whole dump; undefined: there is none, or it is a tar. */
  folderOf(checkpointUid: string, container: string): Promise<string | undefined>
  /** The dump to folders that this process has under way, or has done and not removed. */
  begun(checkpointUid: string): BegunDump | undefined
  /** Undefined: it is not there. */
  sizeOf(checkpointUid: string, container: string): Promise<number | undefined>
  /** A piece of it is there until the next one is asked for. */
  read(checkpointUid: string, container: string): AsyncIterable<Uint8Array>
  /** The same, with something in place of the first bytes of files of a folder, which are named by their paths. */
  readRest<Run extends FirstBytes>(
    checkpointUid: string,
    container: string,
    instead: ReadonlyMap<string, Run>,
  ): AsyncIterable<Uint8Array | Run>
  /** The same in pieces that stay, for whoever wants only some of it. */
  skim(checkpointUid: string, container: string): SkippableBytes
  /** Removes all of a checkpoint, whole or not. */
  remove(checkpointUid: string): Promise<void>
  /** Uids of checkpoints that have archives here, or parts of them. */
  list(): Promise<readonly string[]>
}

const READ_BYTES = 1024 * 1024
const SKIM_BYTES = 64 * 1024

const OURS = /^clouder-([0-9a-f-]{36})-./

interface ArchivePlaces {
  /** Folders where archives were before, which get no new ones. */
  readonly former?: readonly string[]
  /** Folder of a file system of memory; absent: there is none. */
  readonly memory?: string
}

/** Archives in a folder of the disk, and in one of memory. */
export function diskArchives(disk: string, {former = [], memory}: ArchivePlaces = {}): Archives {
  const folders = [...(memory === undefined ? [] : [memory]), disk, ...former]
  const attempts = new Map<string, MutableDump>()
  const found = async (uid: string, container: string): Promise<Found | undefined> => {
    for (const folder of folders) {
      const path = join(folder, nameOf(uid, container))
      if ((await stat(path).catch(unlessMissing))?.isDirectory() === true) return {path, isFolder: true}
      const {size} = (await stat(`${path}.tar`).catch(unlessMissing)) ?? {}
      if (size !== undefined) return {path: `${path}.tar`, isFolder: false, sizeBytes: size}
    }
    return undefined
  }
  const tarOf = async (uid: string, container: string): Promise<FolderTar> => {
    const archive = (await found(uid, container)) ?? {
      path: join(disk, `${nameOf(uid, container)}.tar`),
      isFolder: false,
      sizeBytes: 0,
    }
    return archive.isFolder ? folderTar(archive.path) : fileTar(archive)
  }
  const ours = async (): Promise<readonly {path: string; uid: string}[]> => {
    const all = await Promise.all(
      folders.map(async (folder) =>
        ((await readdir(folder).catch(unlessMissing)) ?? []).flatMap((name) => {
          const uid = OURS.exec(name)?.[1]
          return uid === undefined ? [] : [{path: join(folder, name), uid}]
        }),
      ),
    )
    return all.flat()
  }
  return {
    async begin(uid, container) {
      await mkdir(disk, {recursive: true, mode: 0o700})
      return join(disk, `${nameOf(uid, container)}.tar.${randomBytes(8).toString('hex')}`)
    },
    async beginFolder(uid, container, place) {
      const parent = place === 'memory' ? memory : disk
      if (parent === undefined) throw new Error('there is no file system of memory for dumps')
      // That of memory is mounted by the node: made here it would be on the disk.
      if (place === 'disk') await mkdir(disk, {recursive: true, mode: 0o700})
      const folder = join(parent, `${nameOf(uid, container)}.partial-${randomBytes(8).toString('hex')}`)
      await mkdir(folder, {mode: 0o700})
      const attempt = attempts.get(uid) ?? newAttempt(0)
      attempts.set(uid, attempt)
      attempt.containers.set(container, {folder, isWhole: false})
      return folder
    },
    expect: (uid, expectedBytes) => void attempts.set(uid, newAttempt(expectedBytes)),
    async claim(path, uid, container) {
      const isFolder = (await stat(path)).isDirectory()
      const claimed = join(dirname(path), `${nameOf(uid, container)}${isFolder ? '' : '.tar'}`)
      await rename(path, claimed)
      if (!isFolder) return (await stat(claimed)).size
      attempts.get(uid)?.containers.set(container, {folder: claimed, isWhole: true})
      return (await folderTar(claimed)).sizeBytes
    },
    async folderOf(uid, container) {
      const archive = await found(uid, container)
      return archive?.isFolder === true ? archive.path : undefined
    },
    begun: (uid) => attempts.get(uid),
    async sizeOf(uid, container) {
      const archive = await found(uid, container)
      return archive?.isFolder === true ? (await folderTar(archive.path)).sizeBytes : archive?.sizeBytes
    },
    async *read(uid, container) {
      yield* (await tarOf(uid, container)).read()
    },
    async *readRest(uid, container, instead) {
      yield* (await tarOf(uid, container)).readRest(instead)
    },
    skim: (uid, container) => skimmedLater(() => tarOf(uid, container)),
    async remove(uid) {
      attempts.delete(uid)
      for (const one of await ours())
        if (one.uid === uid) await rm(one.path, {recursive: true, force: true, maxRetries: 5})
    },
    list: async () => [...new Set((await ours()).map(({uid}) => uid))],
  }
}

interface MutableDump extends BegunDump {
  readonly containers: Map<string, {folder: string; isWhole: boolean}>
}

const newAttempt = (expectedBytes: number): MutableDump => ({
  attempt: randomBytes(16).toString('hex'),
  expectedBytes,
  containers: new Map(),
})

type Found =
  | {readonly path: string; readonly isFolder: true}
  | {readonly path: string; readonly isFolder: false; readonly sizeBytes: number}

const nameOf = (uid: string, container: string): string => `clouder-${uid}-${container}`

/** An archive that the runtime made, which is a tar already. */
const fileTar = ({path, sizeBytes}: {readonly path: string; readonly sizeBytes: number}): FolderTar => ({
  sizeBytes,
  read: () => wholeOf(path),
  readRest: () => wholeOf(path),
  skim: () => skimmed(path),
})

async function* wholeOf(path: string): AsyncGenerator<Uint8Array> {
  await using file = await open(path)
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  for (;;) {
    const {bytesRead} = await file.read(buffer, 0, READ_BYTES)
    if (bytesRead === 0) return
    yield buffer.subarray(0, bytesRead)
  }
}

/** A gigabyte of memory pages is between the few headers and small files that tell what an archive holds. */
function skimmed(path: string): SkippableBytes {
  let at = 0
  return {
    skip: (sizeBytes) => (at += sizeBytes),
    async *[Symbol.asyncIterator]() {
      await using file = await open(path)
      for (;;) {
        const {buffer, bytesRead} = await file.read(Buffer.alloc(SKIM_BYTES), 0, SKIM_BYTES, at)
        if (bytesRead === 0) return
        at += bytesRead
        yield buffer.subarray(0, bytesRead)
      }
    },
  }
}

/** Of an archive that is looked up when it is read. */
function skimmedLater(tarOf: () => Promise<FolderTar>): SkippableBytes {
  let bytes: SkippableBytes | undefined
  return {
    // Nothing can be left out of what has not begun.
    skip: (sizeBytes) => bytes?.skip(sizeBytes),
    async *[Symbol.asyncIterator]() {
      bytes = (await tarOf()).skim()
      yield* bytes
    },
  }
}
