import {BlockList, isIPv6} from 'node:net'
import {describeSocket} from './criu-files.ts'
import {baseOf, recordsOf} from './criu-images.ts'
import type {Message} from './protobuf.ts'

/** What a restore opens, binds or watches again by its name: files that have no name any more are not among them. */
export interface HeldPath {
  /** `address`: a socket that is bound to one address of the pod, which is its path; those of loopback are not told. */
  readonly kind: 'file' | 'folder' | 'fifo' | 'socket' | 'watch' | 'address'
  /** Absent for a watch that CRIU knows by the number of its file only. */
  readonly path?: string
  /** As of stat; absent: not in the image. */
  readonly mode?: number
  readonly sizeBytes?: number
  /** Place of the mount that it lies on, and whether the runtime brings that from outside; absent: not in the image. */
  readonly mount?: {readonly place: string; readonly isExternal: boolean}
  /** One process that holds it, and how; absent: not in the image. */
  readonly holder?: {readonly pid: number; readonly command: string; readonly how: string}
}

const [REGULAR, FIFO] = [1, 3]
/** Fields of a file entry. */
const [REG_ENTRY, INOTIFY_ENTRY, UNIX_ENTRY, FIFO_ENTRY] = [3, 13, 16, 17]
const FORMAT_BITS = 0o170000
const [FOLDER_BITS, FIFO_BITS] = [0o040000, 0o010000]
/** Status of a memory area: private or shared, of a file. */
const OF_FILE = (1 << 6) | (1 << 7)
const [STREAM, ESTABLISHED] = [1, 1]

/** Reads from CRIU's images, by their names in the folder, what a restore needs at its path. */
export function heldPaths(images: ReadonlyMap<string, Uint8Array>): readonly HeldPath[] {
  const records = (name: string) => recordsOf(name, images.get(name))
  const mounts = mountsOf(images)
  const holders = holdersOf(records)
  const nameless = new Set(records('remap-fpath.img').map((entry) => entry.number(1)))
  return records('files.img').flatMap((file): readonly HeldPath[] => {
    const type = file.number(1) ?? 0
    const id = file.number(2) ?? 0
    const reg = file.message(REG_ENTRY)
    if (type === REGULAR && reg !== undefined)
      return nameless.has(id) ? [] : [regularOf(reg, mounts, holders.get(`${REGULAR} ${id}`))]
    const holder = holders.get(`${type} ${id}`)
    const unix = file.message(UNIX_ENTRY)
    if (unix !== undefined) return boundSocketOf(unix, mounts, holder)
    const address = boundAddressOf(file)
    if (address !== undefined) return [{kind: 'address', ...placed(address, undefined, holder)}]
    return (file.message(INOTIFY_ENTRY)?.messages(5) ?? []).map((watch) => watchOf(watch, mounts, holder))
  })
}

type Mount = NonNullable<HeldPath['mount']>
type Holder = HeldPath['holder']
type Mounts = ReadonlyMap<number, Mount>

function mountsOf(images: ReadonlyMap<string, Uint8Array>): Mounts {
  const mounts = new Map<number, Mount>()
  for (const name of [...images.keys()].filter((one) => baseOf(one) === 'mountpoints'))
    for (const entry of recordsOf(name, images.get(name))) {
      const place = (entry.text(7) ?? '').replace(/^\./, '').replace(/(?<=.)\/$/, '')
      const isExternal = entry.number(13) === 1 || (entry.text(18) ?? '') !== ''
      mounts.set(entry.number(2) ?? 0, {place: place === '' ? '/' : place, isExternal})
    }
  return mounts
}

/** By type and id of a file: who has it open, mapped, or stands in it. */
function holdersOf(records: (name: string) => readonly Message[]): ReadonlyMap<string, NonNullable<Holder>> {
  const holders = new Map<string, NonNullable<Holder>>()
  const reg = new Map<string, string>(
    records('files.img').flatMap((file) => {
      const behind = file.message(FIFO_ENTRY)?.number(3)
      return behind === undefined ? [] : [[`${FIFO} ${file.number(2)}`, `${REGULAR} ${behind}`] as const]
    }),
  )
  const note = (key: string, holder: NonNullable<Holder>): void => {
    if (!holders.has(key)) holders.set(key, holder)
  }
  for (const entry of records('pstree.img')) {
    const pid = entry.number(1) ?? 0
    const command = records(`core-${pid}.img`)[0]?.message(3)?.text(6) ?? ''
    const filesId = records(`ids-${pid}.img`)[0]?.number(2)
    for (const open of records(`fdinfo-${filesId}.img`)) {
      const key = `${open.number(3)} ${open.number(1)}`
      note(reg.get(key) ?? key, {
        pid,
        command,
        how: `has it open as file descriptor ${open.number(4) ?? '?'}`,
      })
    }
    for (const area of records(`mm-${pid}.img`)[0]?.messages(14) ?? [])
      if (((area.number(7) ?? 0) & OF_FILE) !== 0)
        note(`${REGULAR} ${area.number(4)}`, {pid, command, how: 'has it mapped'})
    const folder = records(`fs-${pid}.img`)[0]?.number(1)
    if (folder !== undefined)
      note(`${REGULAR} ${folder}`, {pid, command, how: 'has it as its working directory'})
  }
  return holders
}

function regularOf(entry: Message, mounts: Mounts, holder: Holder): HeldPath {
  const mode = entry.number(9)
  const sizeBytes = entry.number(8)
  const format = (mode ?? 0) & FORMAT_BITS
  return {
    kind: format === FOLDER_BITS ? 'folder' : format === FIFO_BITS ? 'fifo' : 'file',
    ...placed(entry.text(6), mountOf(zigzag(entry.number(7)), entry.text(6), mounts), holder),
    ...(mode === undefined ? {} : {mode}),
    ...(sizeBytes === undefined ? {} : {sizeBytes}),
  }
}

/** A socket that is bound to a path again; one that was accepted bears the name, and is not bound to it. */
function boundSocketOf(entry: Message, mounts: Mounts, holder: Holder): readonly HeldPath[] {
  const name = Buffer.from(entry.bytes(11) ?? []).toString()
  const isConnected = entry.number(3) === STREAM && entry.number(4) === ESTABLISHED
  if (name === '' || name.startsWith('\0') || isConnected || entry.number(15) === 1) return []
  const plain = name.replace(/\0+$/, '')
  const folder = entry.text(14)
  const path = plain.startsWith('/') ? plain : `${folder ?? ''}/${plain}`
  return [{kind: 'socket', ...placed(path, mountOf(zigzag(entry.number(17)), path, mounts), holder)}]
}

/** Addresses that every pod has. */
const EVERYWHERE = new BlockList()
EVERYWHERE.addSubnet('127.0.0.0', 8)
EVERYWHERE.addAddress('0.0.0.0')
EVERYWHERE.addAddress('::', 'ipv6')
EVERYWHERE.addAddress('::1', 'ipv6')

/**
 * `10.244.1.5:8080`, which is bound again. TCP connections are not: they are closed. That includes one which its peer has
 * reset and the program has not closed yet: it is in state CLOSE and still has a remote address, and CRIU only shuts it
 * down (restore_one_tcp in criu/sk-tcp.c). In that state without one, a socket was bound and is not used yet.
 */
function boundAddressOf(file: Message): string | undefined {
  const {kind = '', local = '', remote, state = ''} = describeSocket(file) ?? {}
  const [, host = '', port] = /^\[?(.*?)\]?:(\d+)$/.exec(local) ?? []
  const isUnused = state === 'CLOSE' && remote === undefined
  const isBound = port !== '0' && (state === '' || state === 'LISTEN' || isUnused)
  if (!/^(tcp|udp)/.test(kind) || host === '' || !isBound) return undefined
  return EVERYWHERE.check(host, isIPv6(host) ? 'ipv6' : 'ipv4') ? undefined : local
}

function watchOf(entry: Message, mounts: Mounts, holder: Holder): HeldPath {
  const handle = entry.message(7)
  const path = handle?.text(4)
  return {kind: 'watch', ...placed(path, mountOf(handle?.number(5), path, mounts), holder)}
}

const placed = (path: string | undefined, mount: Mount | undefined, holder: Holder) => ({
  ...(path === undefined ? {} : {path}),
  ...(mount === undefined ? {} : {mount}),
  ...(holder === undefined ? {} : {holder}),
})

/** By its number; where that is not told, the deepest one on the way. */
function mountOf(id: number | undefined, path: string | undefined, mounts: Mounts): Mount | undefined {
  const named = id === undefined ? undefined : mounts.get(id)
  if (named !== undefined || path === undefined) return named
  return [...mounts.values()]
    .filter(({place}) => place === '/' || path === place || path.startsWith(`${place}/`))
    .toSorted((one, other) => other.place.length - one.place.length)[0]
}

/** The wire form of a signed number. */
const zigzag = (value: number | undefined): number | undefined =>
  value === undefined ? undefined : value % 2 === 0 ? value / 2 : -(value + 1) / 2
