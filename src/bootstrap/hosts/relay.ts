import {Duplex} from 'node:stream'
import pLimit from 'p-limit'
import {ConnectionError} from '../../base/errors.ts'
import type {Channel} from './link.ts'
import {lastMeaningfulLines, OutputTail} from './output.ts'
import {launchLine, program, scriptBody} from './program.ts'
import {unreachable} from './ssh-login.ts'

/** Comes first on stdout once the other end is connected. */
const connectedMarker = 'clouder-connected\n'
const keptErrorBytes = 4_096

/**
 * Joins stdin and stdout to a TCP port. Ends when either side does: a command that outlives its connection would hold
 * one of the server's.
 */
const relayScript = `exec 3<>"/dev/tcp/$1/$2" || exit
echo ${connectedMarker.trim()}
exec 4<&0
trap 'kill $(jobs -p) 2>/dev/null' EXIT
cat <&3 & cat <&4 >&3 &
wait -n
`

export interface RelayTarget {
  /** Whose command it is, and what an error names. */
  readonly name: string
  readonly address: string
}

/**
 * A TCP connection that a command on a host makes for us, where sshd forwards none. Nothing but bash and cat is needed
 * there. Throws ConnectionError HOST_UNREACHABLE.
 */
export async function openRelay(
  channel: Channel,
  address: string,
  port: number,
  target: RelayTarget,
  signal: AbortSignal,
): Promise<Duplex> {
  const said = new OutputTail(keptErrorBytes)
  channel.stderr.on('data', (chunk: Buffer) => said.add(chunk))
  channel.stdin.on('error', () => channel.stdin.destroy())
  channel.stdin.write(program(scriptBody(relayScript, [address, String(port)]), undefined))
  const close = (): void => channel.close()
  signal.addEventListener('abort', close, {once: true})
  try {
    const ended = channel.ended.then(() => 'ended' as const)
    if ((await Promise.race([afterMarker(channel), ended])) === 'ended') {
      signal.throwIfAborted()
      const why = lastMeaningfulLines(said.text(), 1)[0] ?? 'the command ended'
      throw unreachable(target, `${address}:${port} through a command there: ${why}`, undefined)
    }
  } finally {
    signal.removeEventListener('abort', close)
  }
  const stream = Duplex.from({readable: channel.stdout, writable: channel.stdin})
  stream.on('error', close)
  stream.on('close', close)
  return stream
}

/** Takes stdout up to the marker; what comes after it is left there. */
function afterMarker({stdout}: Channel): Promise<'connected'> {
  return new Promise((resolve) => {
    let noise = Buffer.alloc(0)
    const onData = (chunk: Buffer): void => {
      noise = Buffer.concat([noise, chunk])
      const at = noise.indexOf(connectedMarker)
      if (at === -1) {
        noise = noise.subarray(-connectedMarker.length)
        return
      }
      stdout.removeListener('data', onData)
      stdout.pause()
      const rest = noise.subarray(at + connectedMarker.length)
      if (rest.length > 0) stdout.unshift(rest)
      resolve('connected')
    }
    stdout.on('data', onData)
  })
}

/** A connection that commands can be started on, one at a time and without waiting for room. */
export interface RelayLink {
  /** Undefined: the server takes no more commands on this connection. Throws ConnectionError. */
  tryOpen(commandLine: string): Promise<Channel | undefined>
  close(): Promise<void>
}

/**
 * TCP connections through commands, on SSH connections of their own: a server takes only so many commands on one
 * (MaxSessions), and those of the first are for what changes the host. Another is made when all are full.
 */
export class Relays {
  readonly #login: (signal: AbortSignal) => Promise<RelayLink>
  readonly #target: RelayTarget
  readonly #links = new Set<RelayLink>()
  /** One at a time, or many that begin together would each log in. */
  readonly #turn = pLimit(1)

  constructor(target: RelayTarget, login: (signal: AbortSignal) => Promise<RelayLink>) {
    this.#target = target
    this.#login = login
  }

  async open(address: string, port: number, signal: AbortSignal): Promise<Duplex> {
    const channel = await this.#turn(() => this.#channel(signal))
    return openRelay(channel, address, port, this.#target, signal)
  }

  async #channel(signal: AbortSignal): Promise<Channel> {
    signal.throwIfAborted()
    const line = launchLine({kind: 'none'})
    for (const link of this.#links) {
      const channel = await link.tryOpen(line).catch((error: unknown) => {
        if (!(error instanceof ConnectionError)) throw error
        this.#links.delete(link)
      })
      if (channel !== undefined) return channel
    }
    const link = await this.#login(signal)
    this.#links.add(link)
    const channel = await link.tryOpen(line)
    if (channel !== undefined) return channel
    throw unreachable(
      this.#target,
      'the server accepts no further sessions (MaxSessions in sshd_config)',
      undefined,
    )
  }

  async close(): Promise<void> {
    await Promise.all([...this.#links].map((link) => link.close()))
  }
}
