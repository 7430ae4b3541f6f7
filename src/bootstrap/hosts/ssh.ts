import {randomBytes} from 'node:crypto'
import type {Duplex} from 'node:stream'
import {setTimeout as delay} from 'node:timers/promises'
import {ConnectionError} from '../../base/errors.ts'
import type {Machine, SecretRef} from '../../spec/machine.ts'
import {retry} from '../../base/waiting.ts'
import type {ConnectOptions, Host, HostConnector} from './host.ts'
import type {Channel} from './link.ts'
import {launchLine, type Elevation} from './program.ts'
import {startProxyCommand} from './proxy-command.ts'
import type {Redactor} from '../../base/redaction.ts'
import {openRelay, Relays, type RelayLink} from './relay.ts'
import {connectShellHost, type ShellLink} from './shell-host.ts'
import {
  ChannelRefusedError,
  login,
  openCommand,
  openStream,
  unlessAborted,
  type Client,
  type LoginOptions,
} from './ssh-client.ts'
import {
  bastionClosed,
  destinationsOf,
  isForwardingRefused,
  mayBeCut,
  mayComeUp,
  mayLetIn,
  unreachable,
  type Destination,
} from './ssh-login.ts'
import {openTunnel} from './tunnel.ts'

const connectTimeoutMs = 60_000
/** A first boot in a cloud, with cloud-init. */
const bootTimeoutMs = 5 * 60_000
const reconnectTimeoutMs = 60_000
const retryIntervalMs = 1_000
const sessionTimeoutMs = 60_000

export interface SshConnectorOptions extends LoginOptions {
  readonly secrets: (ref: SecretRef) => Promise<string>
  readonly redactor: Redactor
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
class SshLink implements ShellLink, RelayLink {
  readonly #machine: Machine
  readonly #options: SshConnectorOptions
  #client: Client | undefined
  #bastion: Client | undefined
  #connecting: Promise<Client> | undefined
  #connections = 0
  readonly #relays: Relays
  readonly #lifetime = new AbortController()

  constructor(machine: Machine, options: SshConnectorOptions) {
    this.#machine = machine
    this.#options = options
    this.#relays = new Relays(machine, async (signal) => {
      options.log?.(
        `${machine.name}: sshd does not forward connections, opening another one to relay through commands`,
      )
      const link = new SshLink(machine, options)
      await link.connect(reconnectTimeoutMs, signal)
      return link
    })
  }

  /** Waits for sshd of a machine that is coming up; what waiting can't mend is thrown at once. */
  async connect(timeoutMs: number, signal: AbortSignal, booting = false): Promise<Client> {
    let cuts = 0
    return retry((attemptSignal) => this.#connectOnce(attemptSignal), {
      timeoutMs,
      intervalMs: retryIntervalMs,
      signal,
      // A login that is refused is never repeated, it could lock the account; one that was cut, once.
      again: (error) =>
        mayComeUp(error) || (booting && mayLetIn(error)) || (mayBeCut(error) && (cuts += 1) === 1),
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
        through === undefined || bastion === undefined
          ? {}
          : {sock: await this.#throughBastion(through, bastion, target, signal)}
      const client = await login(target, via, this.#options, signal)
      this.#bastion = through
      return this.#keep(client, () => through?.end())
    } catch (error) {
      through?.destroy()
      throw error
    }
  }

  /** By forwarding, or by a command on the bastion where its sshd forwards nothing. */
  async #throughBastion(
    through: Client,
    bastion: Destination,
    target: Destination,
    signal: AbortSignal,
  ): Promise<Duplex> {
    const {address, port} = target
    try {
      return await openStream(through, address, port, target, signal)
    } catch (error) {
      if (!isForwardingRefused(error)) throw error
      try {
        const lost = (): ConnectionError => unreachable(bastion, 'the connection was lost', undefined)
        const channel = await openCommand(through, launchLine({kind: 'none'}), lost)
        return await openRelay(channel, address, port, target, signal)
      } catch {
        signal.throwIfAborted()
        throw bastionClosed(target, bastion, error)
      }
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
    return openCommand(client, commandLine, () => this.#lost('was lost before a command started'))
  }

  async tryOpen(commandLine: string): Promise<Channel | undefined> {
    if (this.#client === undefined) throw this.#lost('was lost')
    return this.#openOnce(commandLine, this.#client).catch((error: unknown) => {
      if (!(error instanceof ChannelRefusedError)) throw error
      return undefined
    })
  }

  async forward(targetHost: string, targetPort: number): ReturnType<ShellLink['forward']> {
    return openTunnel(async () => {
      const signal = AbortSignal.any([this.#lifetime.signal, AbortSignal.timeout(reconnectTimeoutMs)])
      const client = await this.#clientNow(signal)
      return openStream(client, targetHost, targetPort, this.#machine, signal).catch((error: unknown) => {
        if (!isForwardingRefused(error)) throw error
        return this.#relays.open(targetHost, targetPort, signal)
      })
    })
  }

  async forwards(targetHost: string, targetPort: number, signal: AbortSignal): Promise<boolean> {
    const client = await this.#clientNow(signal)
    try {
      const stream = await openStream(client, targetHost, targetPort, this.#machine, signal)
      stream.destroy()
      return true
    } catch (error) {
      signal.throwIfAborted()
      return !isForwardingRefused(error)
    }
  }

  async close(): Promise<void> {
    this.#lifetime.abort()
    await this.#relays.close()
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
