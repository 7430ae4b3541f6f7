import {setTimeout as delay} from 'node:timers/promises'
import {ConnectionError} from '../../src/base/errors.ts'
import {HostCommandError} from '../../src/bootstrap/errors.ts'
import type {
  Argv,
  CommandResult,
  ExecOptions,
  Host,
  HostFacts,
  QueryOptions,
  Script,
  Tunnel,
  UploadOptions,
} from '../../src/bootstrap/hosts/host.ts'
import {quoteArgv} from '../../src/base/quoting.ts'
import type {Machine} from '../../src/spec/machine.ts'
import {initPhases, kubeadmChanges, kubeadmProbes, commands} from './simulated-kubeadm.ts'
import {nodeChanges, nodeProbes} from './simulated-node-scripts.ts'
import {failed, words, type Behaviour, type Failed} from './simulated-shell.ts'
import type {SimulatedCluster} from './simulated-cluster.ts'
import type {SimulatedMachine} from './simulated-machine.ts'

/** One call on one machine. */
export interface SimulatedCall {
  readonly host: string
  readonly kind: 'look' | 'change'
  /** The script's name or the command line. */
  readonly what: string
}

/** What the hosts of a fleet share. */
export interface SimulatedWorld {
  readonly cluster: SimulatedCluster
  /** How long a call takes, ms. */
  readonly latencyMs: (call: SimulatedCall) => number
  /** Everything that changed a machine and ended well, journals left out. */
  readonly changes: SimulatedCall[]
  /** Scripts and commands that nobody taught the fleet. */
  readonly unexpected: string[]
  /** May throw in place of the call. */
  readonly before: (call: SimulatedCall) => void
  /** May throw after the call had its effect. */
  readonly after: (call: SimulatedCall) => void
  readonly isReachable: (address: string) => boolean
}

const JOURNAL = '/var/lib/clouder/journal.jsonl'

/** A connection to a simulated machine. */
export class SimulatedHost implements Host {
  /** As the caller knows it. */
  readonly machine: Machine
  readonly #simulated: SimulatedMachine
  readonly #world: SimulatedWorld
  #closed = false

  constructor(simulated: SimulatedMachine, machine: Machine, world: SimulatedWorld) {
    this.#simulated = simulated
    this.machine = machine
    this.#world = world
  }

  get name(): string {
    return this.machine.name
  }

  get facts(): HostFacts {
    return this.#simulated.facts
  }

  query(argv: Argv, options: QueryOptions = {}): Promise<CommandResult> {
    const [program, first, ...rest] = argv
    const questions: Readonly<Record<string, Behaviour>> = {
      'test -e': (machine) => (machine.has(rest[0] ?? '') ? '' : failed('')),
      'journalctl -u': () => 'log\n',
      'kubectl --kubeconfig': (_machine, _text, cluster) =>
        cluster.answers && argv.includes('/readyz') ? 'ok' : failed('connection refused'),
      'systemctl is-active': (machine) =>
        rest.map((unit) => `${unitOf(machine, unit).active ? 'active' : 'inactive'}\n`).join(''),
    }
    return this.#look(quoteArgv(argv), '', questions[`${program} ${first ?? ''}`], options)
  }

  queryScript({name, text}: Script, options: QueryOptions = {}): Promise<CommandResult> {
    const behaviour = name === 'preflight/reach.sh' ? this.#reach : (nodeProbes[name] ?? kubeadmProbes[name])
    return this.#look(name, text, behaviour, options)
  }

  async readFile(path: string): Promise<string | undefined> {
    await this.#begin({host: this.name, kind: 'look', what: `read ${path}`}, undefined)
    return this.#simulated.files.get(path)?.content
  }

  async exec(argv: Argv, options: ExecOptions = {}): Promise<CommandResult> {
    if (argv.includes(`of=${JOURNAL}`)) return this.#journal(argv, options)
    if (argv[0] === 'mkdir') {
      this.#simulated.folders.set(argv.at(-1) ?? '', 0o700)
      return ok('')
    }
    const what = quoteArgv(argv)
    return this.#change(what, '', commands[what], options)
  }

  runScript({name, text}: Script, options: ExecOptions = {}): Promise<CommandResult> {
    const behaviour = name.startsWith('kubeadm init phase ')
      ? initPhases
      : (nodeChanges[name] ?? kubeadmChanges[name])
    return this.#change(name, text, behaviour, options)
  }

  async pipe(
    {name, text}: Script,
    content: AsyncIterable<Uint8Array>,
    options: ExecOptions & {onProgress?: (sentBytes: number) => void} = {},
  ): Promise<CommandResult> {
    let sentBytes = 0
    for await (const chunk of content) options.onProgress?.((sentBytes += chunk.byteLength))
    const behaviour = sentBytes === 0 ? () => failed('nothing arrived') : nodeChanges[name]
    return this.#change(name, text, behaviour, options)
  }

  async writeFile(path: string, content: string, {mode}: {mode: number}): Promise<void> {
    const write: Behaviour = (machine) => {
      machine.put(path, content, mode)
      return ''
    }
    await this.#change(`write ${path}`, '', write, {})
  }

  upload(_content: AsyncIterable<Uint8Array>, path: string, _options: UploadOptions): Promise<void> {
    return this.#unknown(`upload ${path}`, '')
  }

  forward(_targetHost: string, targetPort: number): Promise<Tunnel> {
    return Promise.resolve({
      localPort: targetPort,
      failure: () => undefined,
      close: () => Promise.resolve(),
    })
  }

  close(): Promise<void> {
    this.#closed = true
    return Promise.resolve()
  }

  readonly #reach: Behaviour = (_machine, text) =>
    [...text.matchAll(/^reach (.*) &$/gm)]
      .map(([line]) => words(line))
      .filter(([address = '']) => !this.#world.isReachable(address))
      .map(([address, port]) => `unreached=${address} ${port} no answer within 3 s\n`)
      .join('')

  async #look(
    what: string,
    text: string,
    behaviour: Behaviour | undefined,
    options: QueryOptions,
  ): Promise<CommandResult> {
    if (behaviour === undefined) return this.#unknown(what, text)
    await this.#begin({host: this.name, kind: 'look', what}, options.signal)
    return resultOf(behaviour(this.#simulated, text, this.#world.cluster))
  }

  async #change(
    what: string,
    text: string,
    behaviour: Behaviour | undefined,
    options: ExecOptions,
  ): Promise<CommandResult> {
    if (behaviour === undefined) return this.#unknown(what, text)
    const call = {host: this.name, kind: 'change', what} as const
    await this.#begin(call, options.signal)
    const result = resultOf(behaviour(this.#simulated, text, this.#world.cluster))
    if (result.exitCode !== 0) throw this.#failure(what, result)
    this.#world.changes.push(call)
    this.#world.after(call)
    return result
  }

  async #begin(call: SimulatedCall, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    if (this.#closed) throw new TypeError(`${call.what} on ${this.name} after its connection was closed`)
    const latencyMs = this.#world.latencyMs(call)
    if (latencyMs > 0) await delay(latencyMs, undefined, signal === undefined ? {} : {signal})
    this.#world.before(call)
  }

  async #journal(argv: Argv, options: ExecOptions): Promise<CommandResult> {
    await this.#begin({host: this.name, kind: 'look', what: 'append to the journal'}, options.signal)
    if (!this.#simulated.has('/var/lib/clouder')) {
      const stderr = `dd: failed to open '${JOURNAL}': No such file or directory`
      throw this.#failure(quoteArgv(argv), {exitCode: 1, stdout: '', stderr})
    }
    this.#simulated.journal += options.stdin ?? ''
    return ok('')
  }

  #failure(command: string, result: CommandResult): HostCommandError {
    const failure = {host: this.name, command, signal: undefined, ...result}
    const message = `\`${command}\` on ${this.name} exited with code ${result.exitCode}: ${result.stderr.trim()}`
    return new HostCommandError('HOST_COMMAND_FAILED', message, failure)
  }

  #unknown(what: string, text: string): Promise<never> {
    const said = `${what} on ${this.name}${text === '' ? '' : `\n${text}`}`
    this.#world.unexpected.push(said)
    return Promise.reject(new Error(`the simulated fleet does not know ${said}`))
  }
}

const unitOf = (machine: SimulatedMachine, unit: string) =>
  unit === 'containerd' ? machine.containerd : machine.kubelet

const ok = (stdout: string): CommandResult => ({exitCode: 0, stdout, stderr: ''})

const resultOf = (answer: string | Failed): CommandResult =>
  typeof answer === 'string' ? ok(answer) : {stdout: '', ...answer}

/** As the SSH adapter says it. */
export const unreachable = ({name, address}: Machine): ConnectionError =>
  new ConnectionError('HOST_UNREACHABLE', `${name} at ${address} does not answer`, {host: name, address})
