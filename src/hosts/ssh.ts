import {randomBytes} from 'node:crypto'
import {setTimeout as delay} from 'node:timers/promises'
import {NodeSSH} from 'node-ssh'
import {ConnectionError} from '../errors.ts'
import type {Machine, SecretRef} from '../spec/machine.ts'
import {retry} from '../waiting.ts'
import type {ConnectOptions, Host, HostConnector} from './host.ts'
import type {KnownHosts} from './known-hosts.ts'
import type {Channel, ChannelEnd} from './link.ts'
import type {Elevation} from './program.ts'
import {startProxyCommand} from './proxy-command.ts'
import type {Redactor} from './redaction.ts'
import {connectShellHost, type ShellLink} from './shell-host.ts'
import {
  connectionErrorOf,
  credentialsOf,
  destinationsOf,
  hostKeyAlgorithms,
  mayComeUp,
  mayLetIn,
  unreachable,
  type Destination,
} from './ssh-login.ts'
import {openTunnel} from './tunnel.ts'

type ConnectConfig = Parameters<NodeSSH['connect']>[0]
type Client = NonNullable<NodeSSH['connection']>
type ClientChannel = Awaited<ReturnType<NodeSSH['requestShell']>>

const connectTimeoutMs = 60_000
/** A first boot in a cloud, with cloud-init. */
const bootTimeoutMs = 5 * 60_000
const reconnectTimeoutMs = 60_000
const handshakeTimeoutMs = 20_000
const retryIntervalMs = 1_000
const keepaliveIntervalMs = 10_000
const keepalivesMissed = 3
const sessionTimeoutMs = 60_000
/** Hardware does AES-GCM several times faster than what ssh2 asks for first. */
const fastCiphers = [
  'aes128-gcm@openssh.com',
  'aes256-gcm@openssh.com',
  'aes128-ctr',
  'aes192-ctr',
  'aes256-ctr',
] as const

export interface SshConnectorOptions {
  readonly knownHosts: KnownHosts
  readonly secrets: (ref: SecretRef) => Promise<string>
  readonly redactor: Redactor
  /** Socket of the running ssh-agent; used for machines without a key file. */
  readonly agentSocket?: string
  /** Takes the lines of the run log. */
  readonly log?: (line: string) => void
  /** This machine's wall clock, ms. */
  readonly localClock?: () => number
  /** How long to wait for what an earlier run left running on a host; default 5 min. */
  readonly leftoversWaitMs?: number
}

/** Connects to machines by SSH: one connection per machine, through its bastion where it has one. */
export function sshConnector(options: SshConnectorOptions): HostConnector {
  return {
    async connect(
      machine: Machine,
      {signal, timeoutMs, exclusive = false, booting = false}: ConnectOptions,
    ): Promise<Host> {
      const elevation = await elevationOf(machine, options)
      const link = new SshLink(machine, options)
      try {
        await link.connect(timeoutMs ?? (booting ? bootTimeoutMs : connectTimeoutMs), signal, booting)
        return await connectShellHost({
          link,
          machine,
          identity: {
            name: machine.name,
            address: machine.address,
            user: machine.ssh.user,
            redactor: options.redactor,
          },
          elevation,
          token: randomBytes(8).toString('hex'),
          exclusive,
          leftoversWaitMs: options.leftoversWaitMs,
          log: options.log ?? (() => undefined),
          now: options.localClock ?? Date.now,
          signal,
        })
      } catch (error) {
        await link.close()
        signal.throwIfAborted()
        throw error
      }
    },
  }
}

async function elevationOf(machine: Machine, options: SshConnectorOptions): Promise<Elevation> {
  if (machine.ssh.user === 'root') return {kind: 'none'}
  if (machine.ssh.sudoPassword === undefined) return {kind: 'sudo'}
  const password = (await options.secrets(machine.ssh.sudoPassword)).replace(/\r?\n$/, '')
  options.redactor.add(password)
  return {kind: 'sudo-password', password}
}

/** The connection to one machine; made again, once, by the first command after it was lost. */
class SshLink implements ShellLink {
  readonly #machine: Machine
  readonly #options: SshConnectorOptions
  #client: Client | undefined
  #bastion: Client | undefined
  #connecting: Promise<Client> | undefined
  #connections = 0
  readonly #lifetime = new AbortController()

  constructor(machine: Machine, options: SshConnectorOptions) {
    this.#machine = machine
    this.#options = options
  }

  /** Waits for sshd of a machine that is coming up; what waiting can't mend is thrown at once. */
  async connect(timeoutMs: number, signal: AbortSignal, booting = false): Promise<Client> {
    return retry((attemptSignal) => this.#connectOnce(attemptSignal), {
      timeoutMs,
      intervalMs: retryIntervalMs,
      signal,
      again: (error) => mayComeUp(error) || (booting && mayLetIn(error)),
    })
  }

  async #connectOnce(signal: AbortSignal): Promise<Client> {
    const {proxyCommand} = this.#machine.ssh
    if (proxyCommand !== undefined) return this.#connectThrough(proxyCommand, signal)
    const {target, bastion} = destinationsOf(this.#machine)
    let through: Client | undefined
    try {
      if (bastion !== undefined) through = await login(bastion, {}, this.#options, signal)
      const via =
        through === undefined
          ? {}
          : {sock: await openStream(through, target.address, target.port, target, signal)}
      const client = await login(target, via, this.#options, signal)
      this.#bastion = through
      return this.#keep(client, () => through?.end())
    } catch (error) {
      through?.destroy()
      throw error
    }
  }

  async #connectThrough(argv: readonly string[], signal: AbortSignal): Promise<Client> {
    const {target} = destinationsOf(this.#machine)
    const proxy = startProxyCommand(argv)
    try {
      const until = AbortSignal.any([signal, proxy.ended])
      return this.#keep(await login(target, {sock: proxy.sock}, this.#options, until), proxy.close)
    } catch (error) {
      const ending = mayComeUp(error) || proxy.ended.aborted ? await proxy.ending() : undefined
      proxy.close()
      signal.throwIfAborted()
      if (ending === undefined || (error !== ending && !mayComeUp(error))) throw error
      throw unreachable(target, `${argv[0] ?? ''}: ${ending.message}`, ending)
    }
  }

  #keep(client: Client, onClose: () => void): Client {
    client.once('close', () => {
      if (this.#client === client) this.#client = undefined
      onClose()
    })
    this.#client = client
    this.#connections += 1
    return client
  }

  async connected(signal: AbortSignal): Promise<number> {
    await this.#clientNow(signal)
    return this.#connections
  }

  async #clientNow(signal: AbortSignal): Promise<Client> {
    if (this.#client !== undefined) return this.#client
    if (this.#lifetime.signal.aborted) throw this.#lost('was closed')
    if (this.#connecting === undefined) {
      this.#options.log?.(`${this.#machine.name}: the connection was lost, connecting again`)
    }
    this.#connecting ??= this.connect(reconnectTimeoutMs, this.#lifetime.signal).finally(
      () => (this.#connecting = undefined),
    )
    return unlessAborted(this.#connecting, signal)
  }

  async open(commandLine: string, signal: AbortSignal): Promise<Channel> {
    return retry(async (attemptSignal) => this.#openOnce(commandLine, await this.#clientNow(attemptSignal)), {
      timeoutMs: sessionTimeoutMs,
      intervalMs: 100,
      signal,
      // The server's limit of sessions (MaxSessions) may be lower than what we run at once.
      again: (error) => error instanceof ChannelRefusedError,
    }).catch((error: unknown) => {
      signal.throwIfAborted()
      throw error instanceof ChannelRefusedError ? unreachable(this.#machine, error.message, error) : error
    })
  }

  #openOnce(commandLine: string, client: Client): Promise<Channel> {
    return new Promise((resolve, reject) => {
      const onClose = (): void => reject(this.#lost('was lost before a command started'))
      client.once('close', onClose)
      const onOpen = (error: Error | undefined, opened: Parameters<typeof channelOf>[0]): void => {
        client.removeListener('close', onClose)
        // Listened to at once: of a command that ends at once, the end comes with the same packet as the start.
        if (error === undefined) resolve(channelOf(opened, client))
        else if (this.#client !== client) onClose()
        else reject(new ChannelRefusedError(error.message))
      }
      try {
        client.exec(commandLine, onOpen)
      } catch {
        // ssh2 throws `Not connected` where the socket is gone and its close is not told yet.
        client.removeListener('close', onClose)
        onClose()
      }
    })
  }

  async forward(targetHost: string, targetPort: number): ReturnType<ShellLink['forward']> {
    return openTunnel(async () => {
      const signal = AbortSignal.any([this.#lifetime.signal, AbortSignal.timeout(reconnectTimeoutMs)])
      return openStream(await this.#clientNow(signal), targetHost, targetPort, this.#machine, signal)
    })
  }

  async close(): Promise<void> {
    this.#lifetime.abort()
    const client = this.#client
    if (client === undefined) return
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()))
    client.end()
    await Promise.race([closed, delay(2_000, undefined, {ref: false})])
    client.destroy()
    this.#bastion?.destroy()
  }

  #lost(how: string): ConnectionError {
    const {name, address} = this.#machine
    return new ConnectionError('LINK_LOST', `the connection to ${name} ${how}`, {host: name, address})
  }
}

/** The server took the connection but not one more command on it. */
class ChannelRefusedError extends Error {}

function channelOf(channel: ClientChannel, client: Client): Channel {
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

async function openStream(
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

/** What is awaited, or the signal's reason if that comes first; the work itself goes on. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
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

/** One attempt at one connection: transport, host key, user key. */
async function login(
  destination: Destination,
  via: Pick<ConnectConfig, 'sock'>,
  options: SshConnectorOptions,
  signal: AbortSignal,
): Promise<Client> {
  signal.throwIfAborted()
  const ssh = new NodeSSH()
  let refusal: unknown
  const credentials = await credentialsOf(destination, options.agentSocket)
  const known = await options.knownHosts.keyTypes(destination)
  // Nothing may be begun for a signal that came meanwhile: nobody would take how it ends.
  signal.throwIfAborted()
  const connecting = ssh.connect({
    ...via,
    ...credentials,
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
    return client
  } catch (error) {
    ssh.connection?.destroy()
    signal.throwIfAborted()
    throw refusal instanceof Error ? refusal : connectionErrorOf(destination, error)
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
