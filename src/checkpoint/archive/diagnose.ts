import type {CauseCode} from './cause.ts'
import {CAUSES} from './causes.ts'

export type {CauseCode} from './cause.ts'

/** Why CRIU could not dump or restore. */
export interface Cause {
  readonly code: CauseCode
  /** Pid as the log has it: the host's in a dump, the container's in a restore. */
  readonly process?: {readonly pid: number; readonly command?: string}
  readonly file?: {readonly fd: number; readonly path?: string}
  /** A sentence for people, without its full stop. */
  readonly what: string
  /** What to change. */
  readonly fix: string
  /** CRIU's own line. */
  readonly evidence: string
}

/**
 * Reads CRIU's dump.log or restore.log: what stood in the way, whose fault, and what to do. Empty: the log holds no
 * error. An error that is not known is told in CRIU's words.
 */
export function diagnose(log: string): Cause[] {
  const place = new Place()
  const found: Cause[] = []
  const unknown: string[] = []
  for (const line of log.split('\n').map(withoutTime)) {
    place.follow(line)
    const error = /\bError \([^)]*\): *(?:\w[\w-]*: +)*(.*)$/.exec(line)?.[1]?.trim()
    if (error === undefined || CONSEQUENCES.test(error)) continue
    const cause = causeOf(error, line, place)
    if (cause === undefined) unknown.push(error)
    else if (!found.some((other) => isSame(other, cause))) found.push(cause)
  }
  const [first] = unknown
  if (found.length > 0 || first === undefined) return found
  const what = `CRIU failed: ${[...new Set(unknown)].slice(0, 3).join('; ')}`
  return [
    {
      code: 'unknown',
      what,
      fix: 'read the complete log in the archive or in the work directory',
      evidence: first,
    },
  ]
}

/** One sentence per cause, for a status or an error message. */
export const describeCause = ({process, file, what, fix}: Cause): string => {
  const command = process?.command === undefined ? '' : ` (${process.command})`
  const who = process === undefined ? '' : `process ${process.pid}${command}`
  const where =
    file === undefined ? '' : `file descriptor ${file.fd}${file.path === undefined ? '' : ` (${file.path})`}`
  const subject = [who, where].filter((part) => part !== '').join(', ')
  return `${subject === '' ? '' : `${subject}: `}${what}; ${fix}`
}

/** What only follows from an error before it, or stops nothing. */
const CONSEQUENCES =
  /^(Dumping FAILED|Restoring FAILED|Dump files \(pid|Dump (?:mappings|core) \(pid|Collect mappings \(pid|Can't setup RLIMIT_NOFILE|Unable to open fd=|`- Can't open vma|Restorer fail|\d+ exited, status|Can't retrieve FDs from socket|Message reply from daemon|Can't open \d+'s mapfile link|For Go programs)/

const withoutTime = (line: string): string => line.replace(/^\([\d.]+\) ?/, '')

const isSame = (one: Cause, other: Cause): boolean =>
  one.code === other.code &&
  one.process?.pid === other.process?.pid &&
  one.file?.fd === other.file?.fd &&
  one.what === other.what

function causeOf(error: string, line: string, place: Place): Cause | undefined {
  for (const {code, pattern, about, tell} of CAUSES) {
    const match = pattern.exec(error)
    if (match === null) continue
    return {code, ...place.of(about, line), ...tell(match, place.told(about)), evidence: error}
  }
  return undefined
}

type Whose = Pick<Cause, 'process' | 'file'>
type About = (typeof CAUSES)[number]['about']

/** Where in the processes the log is: which one is being dumped, and which of its files. */
class Place {
  #process: Cause['process'] = undefined
  #file: Cause['file'] = undefined
  #lockComes = false
  readonly #commands = new Map<number, string>()
  readonly #locks: Whose[] = []
  /** Which open file a unix socket is, by its inode and its peer's. */
  readonly #sockets = new Map<string, Whose>()
  #outside: {readonly whose: Whose; readonly name: string} | undefined = undefined

  follow(line: string): void {
    const task = /^Dumping task \(pid: (\d+) comm: (.*)\)$/.exec(line)
    if (task !== null) this.#enter(Number(task[1]), task[2] ?? '')
    if (line.startsWith('lockinfo: ')) this.#lockComes = true
    const descriptor = /^\s*(\d+) fdinfo (\d+):/.exec(line)
    if (descriptor !== null) this.#open(Number(descriptor[1]), Number(descriptor[2]))
    const path = /^Dumping path for (\d+) fd via self \d+ \[(.*)\]$/.exec(line)
    if (path !== null && this.#file?.fd === Number(path[1])) this.#name(path[2] ?? '')
    this.#followUnix(line)
    // What comes now is about all of them.
    if (/^Dumping (file-locks|pstree)/.test(line)) [this.#process, this.#file] = [undefined, undefined]
  }

  /** Whose an error is. */
  of(about: About, line: string): Whose {
    if (about === 'lock') return this.#locks[0] ?? {}
    if (about === 'unix-socket') return this.#outside?.whose ?? {}
    if (about === 'all') return {}
    // In a restore each line begins with the process that wrote it, in the container's numbers.
    const restored = /^(?:pie: )?\s*(\d+): /.exec(line)?.[1]
    const process = this.#process ?? (restored === undefined ? undefined : this.#named(Number(restored)))
    return {
      ...(process === undefined ? {} : {process}),
      ...(about === 'file' && this.#file !== undefined ? {file: this.#file} : {}),
    }
  }

  told(about: About): string | undefined {
    return about === 'unix-socket' ? this.#outside?.name : undefined
  }

  #enter(pid: number, command: string): void {
    this.#commands.set(pid, command)
    this.#process = {pid, command}
    this.#file = undefined
  }

  #named(pid: number): NonNullable<Cause['process']> {
    const command = this.#commands.get(pid)
    return command === undefined ? {pid} : {pid, command}
  }

  #open(pid: number, fd: number): void {
    this.#process = this.#named(pid)
    this.#file = {fd}
    if (this.#lockComes) this.#locks.push({process: this.#process, file: this.#file})
    this.#lockComes = false
  }

  #name(path: string): void {
    if (this.#file === undefined) return
    const before = this.#file
    this.#file = {...before, path}
    const lock = this.#locks.findIndex(({file}) => file === before)
    if (lock !== -1) this.#locks[lock] = {...this.#locks[lock], file: this.#file}
  }

  #followUnix(line: string): void {
    const [, kind, inode = '', peer = '', name = ''] =
      /^unix: \t(Dumping|Runaway socket): ino (\d+) peer_ino (\d+) .* name (.*)$/.exec(line) ?? []
    const whose = this.of('file', line)
    if (kind === 'Dumping')
      [inode, peer].filter((id) => id !== '0').forEach((id) => this.#sockets.set(id, whose))
    if (kind !== 'Runaway socket') return
    this.#outside = {whose: this.#sockets.get(inode) ?? this.#sockets.get(peer) ?? {}, name}
  }
}
