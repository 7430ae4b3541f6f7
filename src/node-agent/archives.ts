import {open, readdir, rename, rm, stat} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {isDeepStrictEqual} from 'node:util'
import {z} from 'zod'
import {tarMembers, type SkippableBytes} from '../checkpoint/archive/tar.ts'
import type {DumpTarget} from './kubelet.ts'

/**
 * The kubelet's archives, in its folder: `checkpoint-<pod>_<namespace>-<container>-<time>.tar`, and ours, which were
 * renamed at once: `clouder-<uid of the Checkpoint>-<container>.tar`. What bears our name is whole.
 */
export interface Archives {
  /** Names a fresh archive of the kubelet after its checkpoint; gives its size. */
  claim(path: string, checkpointUid: string, container: string): Promise<number>
  /** Undefined: it is not there. */
  sizeOf(checkpointUid: string, container: string): Promise<number | undefined>
  /** A piece of it is there until the next one is asked for. */
  read(checkpointUid: string, container: string): AsyncIterable<Uint8Array>
  /** The same in pieces that stay, for whoever wants only some of it. */
  skim(checkpointUid: string, container: string): SkippableBytes
  /** Removes all of a checkpoint. */
  remove(checkpointUid: string): Promise<void>
  /**
   * Removes what the kubelet wrote of a container since then and nobody claimed: a dump whose asker died. Its file name
   * may be that of another container's archive too: of team/b-main and team-b/main. So it is what the archive says that
   * counts; one that was broken off, and says nothing, goes unless `isAnothers`.
   */
  removeUnclaimed(target: DumpTarget, sinceMs: number, isAnothers: () => Promise<boolean>): Promise<void>
  /** Uids of checkpoints that have archives here. */
  list(): Promise<readonly string[]>
}

/** Files get the time of the kernel's last tick, which was before now. */
const COARSE_MS = 100

const READ_BYTES = 1024 * 1024
const SKIM_BYTES = 64 * 1024
const MAX_SPEC_BYTES = 16 * 1024 * 1024

const OURS = /^clouder-([0-9a-f-]{36})-(.+)\.tar$/

/** The archives in the kubelet's folder. */
export function kubeletArchives(folder: string): Archives {
  const pathOf = (uid: string, container: string): string => join(folder, `clouder-${uid}-${container}.tar`)
  const names = async (): Promise<readonly string[]> => {
    try {
      return await readdir(folder)
    } catch (error) {
      if (isAbsent(error)) return []
      throw error
    }
  }
  return {
    async claim(path, uid, container) {
      if (dirname(path) !== folder) throw new Error(`the kubelet wrote ${path}, which is not in ${folder}`)
      const claimed = pathOf(uid, container)
      await rename(path, claimed)
      return (await stat(claimed)).size
    },
    async sizeOf(uid, container) {
      try {
        return (await stat(pathOf(uid, container))).size
      } catch (error) {
        if (isAbsent(error)) return undefined
        throw error
      }
    },
    read: (uid, container) => wholeOf(pathOf(uid, container)),
    skim: (uid, container) => skimmed(pathOf(uid, container)),
    async remove(uid) {
      const ours = (await names()).filter((name) => OURS.exec(name)?.[1] === uid)
      for (const name of ours) await rm(join(folder, name), {force: true})
    },
    async removeUnclaimed(target, sinceMs, isAnothers) {
      const {namespace, pod, container} = target
      const prefix = `checkpoint-${pod}_${namespace}-${container}-`
      for (const name of await names()) {
        const path = join(folder, name)
        if (!name.startsWith(prefix) || !/^\d{4}-[^/]*\.tar$/.test(name.slice(prefix.length))) continue
        const found = await stat(path).catch((error: unknown) => {
          if (isAbsent(error)) return undefined
          throw error
        })
        if (found === undefined || found.mtimeMs < sinceMs - COARSE_MS) continue
        const owner = await ownerOf(path)
        const isOurs = owner === undefined ? !(await isAnothers()) : isDeepStrictEqual(owner, target)
        if (isOurs) await rm(path, {force: true})
      }
    },
    async list() {
      return [...new Set((await names()).flatMap((name) => OURS.exec(name)?.[1] ?? []))]
    },
  }
}

const ownerSchema = z.looseObject({
  annotations: z.looseObject({
    'io.kubernetes.cri.sandbox-namespace': z.string(),
    'io.kubernetes.cri.sandbox-name': z.string(),
    'io.kubernetes.cri.container-name': z.string(),
  }),
})

/** The container that an archive says it was made of; undefined: it is not whole. */
async function ownerOf(path: string): Promise<DumpTarget | undefined> {
  try {
    for await (const {path: name, sizeBytes, content} of tarMembers(skimmed(path))) {
      if (name !== 'spec.dump' || sizeBytes > MAX_SPEC_BYTES) continue
      const chunks: Uint8Array[] = []
      for await (const chunk of content) chunks.push(chunk)
      const {annotations} = ownerSchema.parse(JSON.parse(Buffer.concat(chunks).toString()))
      return {
        namespace: annotations['io.kubernetes.cri.sandbox-namespace'],
        pod: annotations['io.kubernetes.cri.sandbox-name'],
        container: annotations['io.kubernetes.cri.container-name'],
      }
    }
    return undefined
  } catch {
    return undefined
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

const isAbsent = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT'
