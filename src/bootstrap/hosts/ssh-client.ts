import {NodeSSH} from 'node-ssh'
import type {KnownHosts} from './known-hosts.ts'
import type {Channel, ChannelEnd} from './link.ts'
import {
  connectionErrorOf,
  hostKeyAlgorithms,
  unreachable,
  type Destination,
  type LoginProgress,
} from './ssh-login.ts'
import {offersOf, type Offer} from './ssh-offers.ts'

type ConnectConfig = Parameters<NodeSSH['connect']>[0]
/** A connection that is logged in. */
export type Client = NonNullable<NodeSSH['connection']>
type ClientChannel = Awaited<ReturnType<NodeSSH['requestShell']>>

const handshakeTimeoutMs = 20_000
const keepaliveIntervalMs = 10_000
const keepalivesMissed = 3
const saidCharacters = 4_096
/** Hardware does AES-GCM several times faster than what ssh2 asks for first. */
const fastCiphers = [
  'aes128-gcm@openssh.com',
  'aes256-gcm@openssh.com',
  'aes128-ctr',
  'aes192-ctr',
  'aes256-ctr',
] as const

export interface LoginOptions {
  readonly knownHosts: KnownHosts
  /** Socket of the running ssh-agent; used for machines without a key file. */
  readonly agentSocket?: string
}

/** A running command as a link gives it. */
export function channelOf(channel: ClientChannel, client: Client): Channel {
  const ended = new Promise<ChannelEnd>((resolve) => {
    let end: ChannelEnd = {exitCode: undefined, signal: undefined}
    channel.on('exit', (code: number | null, signal?: string) => {
      end = {exitCode: code ?? undefined, signal: signal ?? undefined}
    })
    const onEnd = (): void => {
      client.removeListener('close', onLost)
      resolve(end)
    }
    // ssh2 leaves the channels of a dead connection to themselves when their output was not read to its end.
    const onLost = (): void => void setImmediate(onEnd)
    channel.once('close', onEnd)
    client.once('close', onLost)
  })
  return {
    stdin: channel.stdin,
    stdout: channel.stdout,
    stderr: channel.stderr,
    ended,
    close: () => channel.close(),
  }
}

/** A connection from the machine at the other end to somewhere. Throws ConnectionError. */
export async function openStream(
  client: Client,
  address: string,
  port: number,
  target: {name: string; address: string},
  signal: AbortSignal,
): Promise<ClientChannel> {
  const opening = new Promise<ClientChannel>((resolve, reject) => {
    client.forwardOut('127.0.0.1', 0, address, port, (error, stream) => {
      if (error !== undefined) {
        reject(unreachable(target, `${address}:${port} through SSH: ${error.message}`, error))
      } else if (signal.aborted) stream.destroy()
      else resolve(stream)
    })
  })
  return unlessAborted(opening, signal)
}

/** The server took the connection but not one more command on it. */
export class ChannelRefusedError extends Error {}

/** Starts a line for the login shell. Throws ChannelRefusedError, or what `lost` gives when the connection ends. */
export function openCommand(client: Client, commandLine: string, lost: () => Error): Promise<Channel> {
  return new Promise((resolve, reject) => {
    const onClose = (): void => reject(lost())
    client.once('close', onClose)
    try {
      client.exec(commandLine, (error, opened) => {
        client.removeListener('close', onClose)
        // Listened to at once: of a command that ends at once, the end comes with the same packet as the start.
        if (error === undefined) resolve(channelOf(opened, client))
        else reject(new ChannelRefusedError(error.message))
      })
    } catch {
      // ssh2 throws `Not connected` where the socket is gone and its close is not told yet.
      client.removeListener('close', onClose)
      onClose()
    }
  })
}

/** What is awaited, or the signal's reason if that comes first; the work itself goes on. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(signal.reason)
  signal.addEventListener('abort', onAbort, {once: true})
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** Offers keys to a server, one after the other, and keeps what it answers. */
class Login {
  readonly #offers: readonly Offer[]
  #tried = 0
  #authenticating = false
  #methods: readonly string[] = []
  #partly = false
  #said = ''

  constructor(offers: readonly Offer[]) {
    this.#offers = offers
  }

  /** For ssh2: the next key, or none. */
  readonly next = (methods: readonly string[] | null, partly: boolean | null): Offer['method'] | false => {
    this.#methods = methods ?? []
    this.#partly ||= partly === true
    const offer = this.#partly ? undefined : this.#offers[this.#tried]
    if (offer === undefined) return false
    this.#tried += 1
    return offer.method
  }

  watch(client: Client | null): void {
    client?.on('handshake', () => (this.#authenticating = true))
    client?.on('banner', (text) => (this.#said = (this.#said + text).slice(-saidCharacters)))
  }

  get progress(): LoginProgress {
    return {
      authenticating: this.#authenticating,
      tried: this.#offers.slice(0, this.#tried).map(({label}) => label),
      offers: this.#offers.length,
      methods: this.#methods,
      partly: this.#partly,
      said: this.#said,
    }
  }
}

/** One attempt at one connection: transport, host key, user key. */
export async function login(
  destination: Destination,
  via: Pick<ConnectConfig, 'sock'>,
  options: LoginOptions,
  signal: AbortSignal,
): Promise<Client> {
  signal.throwIfAborted()
  const ssh = new NodeSSH()
  let refusal: unknown
  const login = new Login(await offersOf(destination, options.agentSocket))
  const known = await options.knownHosts.keyTypes(destination)
  // Nothing may be begun for a signal that came meanwhile: nobody would take how it ends.
  signal.throwIfAborted()
  const connecting = ssh.connect({
    ...via,
    authHandler: login.next,
    host: destination.address,
    port: destination.port,
    username: destination.user,
    readyTimeout: handshakeTimeoutMs,
    keepaliveInterval: keepaliveIntervalMs,
    keepaliveCountMax: keepalivesMissed,
    algorithms: {cipher: [...fastCiphers], serverHostKey: hostKeyAlgorithms(known)},
    hostVerifier: (key: Buffer, accept: (accepted: boolean) => void) => {
      options.knownHosts.verify(destination, key).then(
        () => accept(true),
        (error: unknown) => {
          refusal = error
          accept(false)
        },
      )
    },
  })
  login.watch(ssh.connection)
  // A command is a dozen small packets; each would wait for the answer to the one before (Nagle, delayed ACKs).
  ssh.connection?.once('connect', () => ssh.connection?.setNoDelay(true))
  const onAbort = (): void => {
    ssh.connection?.destroy()
  }
  signal.addEventListener('abort', onAbort, {once: true})
  try {
    // node-ssh settles at its own timeout only, however its socket ends.
    await unlessAborted(connecting, signal)
    const client = ssh.connection
    if (client === null) throw unreachable(destination, 'the connection closed at once', undefined)
    // Told by its close; an error event that nobody listens to would end the program.
    client.on('error', () => client.end())
    // Each command that runs listens for the end of the connection.
    client.setMaxListeners(0)
    return client
  } catch (error) {
    ssh.connection?.destroy()
    signal.throwIfAborted()
    throw refusal instanceof Error ? refusal : connectionErrorOf(destination, error, login.progress)
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
