import {describeFile, describeSocket, FILE_TYPES, type DumpedSocket} from './criu-files.ts'
import {readMessage, type Message} from './protobuf.ts'

export type {DumpedSocket} from './criu-files.ts'

/** Before every image but those that are raw. */
const COMMON_MAGIC = 0x54564319
/** What follows it, by the image's name without its number. */
const MAGICS: Readonly<Record<string, number>> = {
  pstree: 0x50273030,
  core: 0x55053847,
  ids: 0x54432030,
  pagemap: 0x56084025,
  'pagemap-shmem': 0x56084025,
  fdinfo: 0x56213732,
  files: 0x56303138,
  mountpoints: 0x55563928,
  fs: 0x51403912,
  mm: 0x57492820,
  'remap-fpath': 0x59133954,
}
const PAGE_BYTES = 4096
/** Flag of a pagemap entry: its pages lie in the image. */
const PAGES_PRESENT = 1 << 2

export interface DumpedProcess {
  /** Inside the container. */
  readonly pid: number
  readonly ppid: number
  readonly command: string
  readonly threads: number
  readonly residentBytes: number
  /** Effective; absent: not in the image. */
  readonly uid?: number
}

/** What CRIU's images hold, for people. */
export interface ImageContents {
  readonly processes: readonly DumpedProcess[]
  readonly sockets: readonly DumpedSocket[]
  readonly openFiles: readonly {readonly pid: number; readonly fd: number; readonly path: string}[]
  /** `/data ext4 /dev/vda1`; what the pod brings anew says so. */
  readonly mounts: readonly string[]
}

/** Whether `imageContents` reads the image of that name: `core-1.img`. */
export const isReadImage = (name: string): boolean => baseOf(name) in MAGICS

/**
 * Reads CRIU's images by their names in the folder. What another release writes otherwise is left out: this is for
 * looking at a checkpoint, not for deciding on it.
 */
export function imageContents(images: ReadonlyMap<string, Uint8Array>): ImageContents {
  const records = (name: string) => recordsOf(name, images.get(name))
  const files = records('files.img')
  const tree = records('pstree.img').map((entry) => ({
    pid: entry.number(1) ?? 0,
    ppid: entry.number(2) ?? 0,
    threads: entry.numbers(5).length,
  }))
  const byId = new Map(files.map((file) => [`${file.number(1)} ${file.number(2)}`, file]))
  return {
    processes: tree.map(({pid, ppid, threads}) => {
      const [core] = records(`core-${pid}.img`)
      const uid = core?.message(5)?.message(10)?.number(3)
      return {
        pid,
        ppid,
        command: core?.message(3)?.text(6) ?? '',
        threads,
        residentBytes: residentBytes(records(`pagemap-${pid}.img`)),
        ...(uid === undefined ? {} : {uid}),
      }
    }),
    sockets: files.flatMap((file) => describeSocket(file) ?? []),
    openFiles: tree.flatMap(({pid}) => {
      const filesId = records(`ids-${pid}.img`)[0]?.number(2)
      return records(`fdinfo-${filesId}.img`).map((entry) => {
        const type = entry.number(3) ?? 0
        const file = byId.get(`${type} ${entry.number(1)}`)
        return {pid, fd: entry.number(4) ?? -1, path: file === undefined ? nameOf(type) : describeFile(file)}
      })
    }),
    mounts: [...images.keys()]
      .filter((name) => baseOf(name) === 'mountpoints')
      .flatMap((name) => records(name).map(describeMount)),
  }
}

const nameOf = (type: number): string => FILE_TYPES[type] ?? `file of type ${type}`

export const baseOf = (name: string): string => name.replace(/(-\d+)?\.img$/, '')

/** The first record of a pagemap is its head. */
const residentBytes = ([, ...entries]: readonly Message[]): number =>
  entries
    .filter((entry) => ((entry.number(4) ?? PAGES_PRESENT) & PAGES_PRESENT) !== 0)
    .reduce((sum, entry) => sum + (entry.number(5) ?? entry.number(2) ?? 0) * PAGE_BYTES, 0)

function describeMount(entry: Message): string {
  const place = entry.text(7)?.replace(/^\.(?=\/)/, '') ?? '?'
  const kind = entry.text(14) ?? FILE_SYSTEMS[entry.number(1) ?? 0] ?? 'unknown'
  return entry.number(13) === 1 || entry.text(18) !== undefined
    ? `${place} (of the pod)`
    : `${place} ${kind} ${entry.text(8) ?? ''}`.trimEnd()
}

const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  1: 'proc',
  2: 'sysfs',
  3: 'devtmpfs',
  5: 'tmpfs',
  6: 'devpts',
  12: 'cgroup',
  14: 'mqueue',
  15: 'fuse',
  17: 'overlay',
  23: 'cgroup2',
}

/**
 * An image with each of its messages changed. Undefined: it is none of this name, or broken; what is not understood is not
 * to be used changed in part.
 */
export function changedImage(
  name: string,
  image: Uint8Array,
  change: (message: Uint8Array) => Uint8Array,
): Buffer | undefined {
  const parts: Uint8Array[] = [image.subarray(0, 8)]
  const framed = framesOf(name, image)
  if (framed === undefined) return undefined
  try {
    for (const bytes of framed) {
      const changed = change(bytes)
      const length = Buffer.alloc(4)
      length.writeUInt32LE(changed.length)
      parts.push(length, changed)
    }
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
  return Buffer.concat(parts)
}

/** Undefined: the image is not of its name, or cut off. */
function framesOf(name: string, image: Uint8Array): readonly Uint8Array[] | undefined {
  if (image.length < 8) return undefined
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength)
  if (view.getUint32(0, true) !== COMMON_MAGIC || view.getUint32(4, true) !== MAGICS[baseOf(name)])
    return undefined
  const frames: Uint8Array[] = []
  for (let at = 8; at < image.length;) {
    if (at + 4 > image.length) return undefined
    const end = at + 4 + view.getUint32(at, true)
    if (end > image.length) return undefined
    frames.push(image.subarray(at + 4, end))
    at = end
  }
  return frames
}

/** The messages of an image: two magic numbers, then each with its length before it. */
export function recordsOf(name: string, image: Uint8Array | undefined): readonly Message[] {
  if (image === undefined || image.length < 8) return []
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength)
  if (view.getUint32(0, true) !== COMMON_MAGIC || view.getUint32(4, true) !== MAGICS[baseOf(name)]) return []
  const messages: Message[] = []
  for (let at = 8; at + 4 <= image.length;) {
    const end = at + 4 + view.getUint32(at, true)
    const read = end > image.length ? undefined : readMessage(image.subarray(at + 4, end))
    if (read === undefined) break
    messages.push(read)
    at = end
  }
  return messages
}
