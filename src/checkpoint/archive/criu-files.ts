import {SocketAddress} from 'node:net'
import type {Message} from './protobuf.ts'

export interface DumpedSocket {
  /** `tcp`, `udp6`, `unix stream`. */
  readonly kind: string
  /** `127.0.0.1:8080`, `/run/x.sock`, `@abstract`. */
  readonly local?: string
  readonly remote?: string
  /** Of TCP: `LISTEN`, `ESTABLISHED`. */
  readonly state?: string
}

/** CRIU's kinds of open files, by number, with the words that `/proc/<pid>/fd` has for them. */
export const FILE_TYPES: Readonly<Record<number, string>> = {
  1: 'file',
  2: 'pipe',
  3: 'fifo',
  4: 'socket',
  5: 'unix socket',
  6: 'eventfd',
  7: 'eventpoll',
  8: 'inotify',
  9: 'signalfd',
  10: 'packet socket',
  11: 'tty',
  12: 'fanotify',
  13: 'netlink socket',
  14: 'namespace',
  15: 'tun',
  16: 'file of the pod',
  17: 'timerfd',
  18: 'memfd',
  19: 'bpf map',
  20: 'pidfd',
}

const [REGULAR, PIPE] = [1, 2]
/** Field of a file entry that holds each kind. */
const [REG, INET, UNIX, PIPE_ENTRY] = [3, 4, 16, 18]

const INET_6 = 10
const [STREAM, DATAGRAM] = [1, 2]
const PROTOCOLS: Readonly<Record<number, string>> = {1: 'icmp', 6: 'tcp', 17: 'udp', 132: 'sctp'}
const TCP = 6
/** As the kernel numbers them. */
const TCP_STATES: readonly string[] = [
  '',
  'ESTABLISHED',
  'SYN_SENT',
  'SYN_RECV',
  'FIN_WAIT1',
  'FIN_WAIT2',
  'TIME_WAIT',
  'CLOSE',
  'CLOSE_WAIT',
  'LAST_ACK',
  'LISTEN',
  'CLOSING',
]

/** An entry of files.img in words: a path where it has one. */
export function describeFile(file: Message): string {
  const type = file.number(1) ?? 0
  if (type === REGULAR) return file.message(REG)?.text(6) ?? 'file'
  if (type === PIPE) return `pipe:[${file.message(PIPE_ENTRY)?.number(2) ?? ''}]`
  const socket = describeSocket(file)
  if (socket === undefined) return FILE_TYPES[type] ?? `file of type ${type}`
  const {kind, local = '', remote, state} = socket
  return [kind, local, ...(remote === undefined ? [] : ['to', remote]), state].filter(Boolean).join(' ')
}

/** Undefined: the entry is no socket that has an address. */
export function describeSocket(file: Message): DumpedSocket | undefined {
  const inet = file.message(INET)
  if (inet !== undefined) return describeInet(inet)
  const unix = file.message(UNIX)
  return unix === undefined ? undefined : describeUnix(unix)
}

function describeInet(socket: Message): DumpedSocket {
  const isV6 = socket.number(3) === INET_6
  const protocol = socket.number(5) ?? 0
  const state = protocol === TCP ? TCP_STATES[socket.number(6) ?? 0] : undefined
  const [localPort = 0, remotePort = 0] = [socket.number(7), socket.number(8)]
  return {
    kind: `${PROTOCOLS[protocol] ?? `protocol ${protocol}`}${isV6 ? '6' : ''}`,
    local: addressOf(socket.numbers(11), localPort, isV6),
    ...(remotePort === 0 ? {} : {remote: addressOf(socket.numbers(12), remotePort, isV6)}),
    ...(state === undefined || state === '' ? {} : {state}),
  }
}

/** The words of an address are as they lie in memory on a little-endian machine. */
function addressOf(words: readonly number[], port: number, isV6: boolean): string {
  const bytes = words.flatMap((word) => [0, 8, 16, 24].map((shift) => (word >>> shift) & 0xff))
  if (!isV6) return `${bytes.slice(0, 4).join('.')}:${port}`
  const groups = Array.from({length: 8}, (_, at) => ((bytes[2 * at] ?? 0) << 8) | (bytes[2 * at + 1] ?? 0))
  const {address} = new SocketAddress({
    family: 'ipv6',
    address: groups.map((group) => group.toString(16)).join(':'),
  })
  return `[${address}]:${port}`
}

function describeUnix(socket: Message): DumpedSocket {
  const type = socket.number(3)
  const name = Buffer.from(socket.bytes(11) ?? []).toString()
  const kind = type === STREAM ? 'unix stream' : type === DATAGRAM ? 'unix datagram' : 'unix packet'
  // An abstract name begins with a zero, a path ends with one.
  const local = name.startsWith('\0') ? `@${name.slice(1)}` : name.replace(/\0+$/, '')
  return {kind, ...(local === '' ? {} : {local}), ...(socket.number(4) === 10 ? {state: 'LISTEN'} : {})}
}
