import {randomBytes} from 'node:crypto'
import {setTimeout as delay} from 'node:timers/promises'
import {ConnectionError} from '../errors.ts'
import type {Machine, SecretRef} from '../spec/machine.ts'
import {retry} from '../waiting.ts'
import type {ConnectOptions, Host, HostConnector} from './host.ts'
import type {Channel} from './link.ts'
import type {Elevation} from './program.ts'
import {startProxyCommand} from './proxy-command.ts'
import type {Redactor} from './redaction.ts'
import {connectShellHost, type ShellLink} from './shell-host.ts'
import {channelOf, login, openStream, unlessAborted, type Client, type LoginOptions} from './ssh-client.ts'
import {destinationsOf, mayBeCut, mayComeUp, mayLetIn, unreachable} from './ssh-login.ts'
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
