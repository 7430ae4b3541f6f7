import {randomBytes} from 'node:crypto'
import {mkdir, open, readdir, rename, rm, stat} from 'node:fs/promises'
import {join} from 'node:path'
import {unlessMissing} from '../../base/system-errors.ts'
import type {SkippableBytes} from '../../checkpoint/archive/tar.ts'

/**
 * Archives of checkpoints of containers, in a folder for root alone: `clouder-<uid of the Checkpoint>-<container>.tar`,
 * and while the runtime writes one, the same with an ending of its own. What bears the first name is whole.
 */
export interface Archives {
  /** A path for the runtime to write to, which nothing else ever writes to: a dump that nobody waits for may go on. */
  begin(checkpointUid: string, container: string): Promise<string>
  /** Names what was written there after its checkpoint; gives its size. */
  claim(path: string, checkpointUid: string, container: string): Promise<number>
  /** Undefined: it is not there. */
  sizeOf(checkpointUid: string, container: string): Promise<number | undefined>
  /** A piece of it is there until the next one is asked for. */
  read(checkpointUid: string, container: string): AsyncIterable<Uint8Array>
  /** The same in pieces that stay, for whoever wants only some of it. */
  skim(checkpointUid: string, container: string): SkippableBytes
  /** Removes all of a checkpoint, whole or not. */
  remove(checkpointUid: string): Promise<void>
  /** Uids of checkpoints that have archives here, or parts of them. */
  list(): Promise<readonly string[]>
}

const READ_BYTES = 1024 * 1024
const SKIM_BYTES = 64 * 1024

const OURS = /^clouder-([0-9a-f-]{36})-.+\.tar(?:\.[0-9a-f]+)?$/

/** Archives in a folder of the disk; `former` are folders where they were before, which get no new ones. */
export function diskArchives(folder: string, former: readonly string[] = []): Archives {
  const nameOf = (uid: string, container: string): string => `clouder-${uid}-${container}.tar`
  const folders = [folder, ...former]
  const found = async (uid: string, container: string): Promise<{path: string; size: number} | undefined> => {
    for (const path of folders.map((one) => join(one, nameOf(uid, container)))) {
      const {size} = (await stat(path).catch(unlessMissing)) ?? {}
      if (size !== undefined) return {path, size}
    }
    return undefined
  }
  const pathOf = async (uid: string, container: string): Promise<string> =>
    (await found(uid, container))?.path ?? join(folder, nameOf(uid, container))
  const ours = async (): Promise<readonly {path: string; uid: string}[]> => {
    const all = await Promise.all(
      folders.map(async (one) =>
        ((await readdir(one).catch(unlessMissing)) ?? []).flatMap((name) => {
          const uid = OURS.exec(name)?.[1]
          return uid === undefined ? [] : [{path: join(one, name), uid}]
        }),
      ),
    )
    return all.flat()
  }
  return {
    async begin(uid, container) {
      await mkdir(folder, {recursive: true, mode: 0o700})
      return join(folder, `${nameOf(uid, container)}.${randomBytes(8).toString('hex')}`)
    },
    async claim(path, uid, container) {
      const claimed = join(folder, nameOf(uid, container))
      await rename(path, claimed)
      return (await stat(claimed)).size
    },
    sizeOf: async (uid, container) => (await found(uid, container))?.size,
    async *read(uid, container) {
      yield* wholeOf(await pathOf(uid, container))
    },
    skim: (uid, container) => skimmed(() => pathOf(uid, container)),
    async remove(uid) {
      for (const one of await ours()) if (one.uid === uid) await rm(one.path, {force: true})
    },
    list: async () => [...new Set((await ours()).map(({uid}) => uid))],
  }
}

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
function skimmed(pathOf: () => Promise<string>): SkippableBytes {
  let at = 0
  return {
    skip: (sizeBytes) => (at += sizeBytes),
    async *[Symbol.asyncIterator]() {
      await using file = await open(await pathOf())
      for (;;) {
        const {buffer, bytesRead} = await file.read(Buffer.alloc(SKIM_BYTES), 0, SKIM_BYTES, at)
        if (bytesRead === 0) return
        at += bytesRead
        yield buffer.subarray(0, bytesRead)
      }
    },
  }
}
