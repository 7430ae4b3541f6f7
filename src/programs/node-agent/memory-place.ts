import {readFile, statfs} from 'node:fs/promises'
import {join} from 'node:path'
import {unlessMissing} from '../../base/system-errors.ts'

const GIB = 1024 ** 3
/** https://docs.kernel.org/filesystems/tmpfs.html: of statfs(2). */
const TMPFS = 0x01021994
/** Left to the pods of the node, and to the node itself: no less than this, and no less than this share of all. */
const RESERVE_BYTES = GIB
const RESERVE_SHARE = 0.1
/** Where so little is free, a write has failed for want of room. */
const FULL_BYTES = 1024 * 1024

/** A file system of memory for dumps, which are gone with a reboot and never on a disk. */
export interface MemoryPlace {
  /** Bytes that may be written there now; 0: it is not there, or may be swapped out to a disk. */
  roomBytes(): Promise<number>
  /**
   * Keeps so much of it for one dump until the result is called, so that dumps at the same time do not count on the
   * same memory. Undefined: there is not so much.
   */
  reserve(bytes: number): Promise<(() => void) | undefined>
  /** Whether it has no room left. */
  isFull(): Promise<boolean>
}

/** The tmpfs at `folder`, bounded by what the node can spare. `proc`: where its /proc lies. */
export function memoryPlace(folder: string, {proc}: {readonly proc: string}): MemoryPlace {
  const free = async (): Promise<number | undefined> => {
    const found = await statfs(folder).catch(unlessMissing)
    return found?.type === TMPFS ? found.bavail * found.bsize : undefined
  }
  const reserved = new Map<symbol, number>()
  const place: MemoryPlace = {
    async reserve(bytes) {
      const roomBytes = await place.roomBytes()
      // What a dump has written so far counts twice: better one on the disk too many.
      const reservedBytes = [...reserved.values()].reduce((sum, one) => sum + one, 0)
      if (bytes > roomBytes - reservedBytes) return undefined
      const key = Symbol('dump')
      reserved.set(key, bytes)
      return () => void reserved.delete(key)
    },
    async roomBytes() {
      const freeBytes = await free()
      if (freeBytes === undefined) return 0
      const [swaps, mounts, memory] = await Promise.all(
        ['swaps', 'self/mountinfo', 'meminfo'].map((name) => readFile(join(proc, name), 'utf8')),
      )
      if (isSwapped(swaps ?? '') && !isUnswappable(mounts ?? '', folder)) return 0
      const [available, total] = ['MemAvailable', 'MemTotal'].map((name) => bytesOf(memory ?? '', name))
      if (available === undefined || total === undefined) return 0
      const spareBytes = available - Math.max(RESERVE_BYTES, Math.ceil(RESERVE_SHARE * total))
      return Math.max(0, Math.min(freeBytes, spareBytes))
    },
    async isFull() {
      const freeBytes = await free()
      return freeBytes !== undefined && freeBytes < FULL_BYTES
    },
  }
  return place
}

/** The first line is a heading. */
const isSwapped = (swaps: string): boolean => swaps.trim().split('\n').length > 1

/** The newest mount there counts; options of the file system come last. */
const isUnswappable = (mountinfo: string, folder: string): boolean =>
  mountinfo
    .split('\n')
    .findLast((line) => line.split(' ')[4] === folder)
    ?.split(' ')
    .at(-1)
    ?.split(',')
    .includes('noswap') === true

function bytesOf(meminfo: string, name: string): number | undefined {
  const kib = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(meminfo)?.[1]
  return kib === undefined ? undefined : Number(kib) * 1024
}
