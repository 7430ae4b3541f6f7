import {createHash} from 'node:crypto'
import pLimit from 'p-limit'
import {HostCommandError} from '../errors.ts'
import type {Machine} from '../../spec/machine.ts'
import {runCommand, type CommandOutcome, type CommandRequest} from './command.ts'
import {factsScript} from './facts-script.ts'
import {parseFacts} from './facts.ts'
import {errorOfFailure, errorOfNoAnswer, failedCommand, type HostIdentity} from './host-errors.ts'
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
} from './host.ts'
import type {Link} from './link.ts'
import {cutLine} from './output.ts'
import {argvBody, awaitLeftoversScript, scriptBody, type Elevation} from './program.ts'
import {quoteArgv} from '../../base/quoting.ts'
import {digestMismatchCode, receiveScript} from './receive-script.ts'

const queryTimeoutMs = 60_000
const execTimeoutMs = 10 * 60_000
const streamTimeoutMs = 30 * 60_000
const leftoversWaitMs = 5 * 60_000
const absentFileCode = 44
const apiPort = 6443
/** sshd allows 10 sessions on a connection unless told otherwise (MaxSessions); two are kept for stopping commands. */
const commandsAtOnce = 8

/** A link with what is known of its other end; the parts that SSH and local hosts give to `connectShellHost`. */
export interface ShellLink extends Link {
  /** Number of the connection, made again where it was lost. Throws ConnectionError. */
  connected(signal: AbortSignal): Promise<number>
  forward(targetHost: string, targetPort: number): Promise<Tunnel>
  /** Whether the server itself forwards there; whether anything listens does not matter. Throws ConnectionError. */
  forwards(targetHost: string, targetPort: number, signal: AbortSignal): Promise<boolean>
  close(): Promise<void>
}

export interface ShellHostOptions {
  readonly link: ShellLink
  readonly machine: Machine
  readonly identity: HostIdentity
  /** How commands become root. */
  readonly elevation: Elevation
  /** Marks this run's changes on the host. */
  readonly token: string
  /** Whether the caller is alone entitled to change this host: then whatever still runs there is waited for. */
  readonly exclusive: boolean
  readonly leftoversWaitMs?: number | undefined
  readonly log: (line: string) => void
  /** This machine's wall clock, ms. */
  readonly now: () => number
  readonly signal: AbortSignal
}

/** Waits for what an earlier run left running, gathers the facts, and gives the host. Throws ConnectionError. */
export async function connectShellHost(options: ShellHostOptions): Promise<Host> {
  const shell = new Shell(options)
  return new ShellHost(shell, await gatherFacts(shell, options))
}

async function gatherFacts(shell: Shell, options: ShellHostOptions): Promise<HostFacts> {
  const text = factsScript(options.token, options.exclusive)
  for (;;) {
    const sentAtMs = options.now()
    let receivedAtMs = sentAtMs
    const [outcome, apiForwarded] = await Promise.all([
      shell.run('gather facts', {
        body: scriptBody(text),
        elevation: options.elevation,
        timeoutMs: queryTimeoutMs,
        signal: options.signal,
        onStdoutLine: () => (receivedAtMs = options.now()),
      }),
      options.link.forwards('127.0.0.1', apiPort, options.signal),
    ])
    if (outcome.exitCode !== 0) throw errorOfFailure(options.identity, 'gather facts', outcome)
    const sudo = sudoOf(options.elevation, outcome)
    const gathered = parseFacts(outcome.stdout, {sentAtMs, receivedAtMs}, {sudo, apiForwarded})
    if (!gathered.busy) return gathered.facts
    await awaitLeftovers(shell, options)
  }
}

function sudoOf(elevation: Elevation, outcome: CommandOutcome): HostFacts['sudo'] {
  if (elevation.kind === 'none') return 'root'
  return outcome.askedPassword ? 'password' : 'passwordless'
}

/** Throws HostCommandError when a change that another live connection makes does not end. */
async function awaitLeftovers(shell: Shell, options: ShellHostOptions): Promise<void> {
  const waitMs = options.leftoversWaitMs ?? leftoversWaitMs
  options.log(`${options.identity.name}: waiting for a command of an earlier run`)
  const shown = 'wait for an earlier run'
  const outcome = await shell.run(shown, {
    body: scriptBody(awaitLeftoversScript(options.token, options.exclusive, waitMs)),
    elevation: options.elevation,
    timeoutMs: waitMs + queryTimeoutMs,
    signal: options.signal,
  })
  if (outcome.exitCode === 0) return
  const pids = outcome.stdout
    .split('\n')
    .flatMap((line) => line.split(' ').slice(0, 1))
    .filter((pid) => pid !== '')
  throw new HostCommandError(
    'HOST_COMMAND_TIMED_OUT',
    `another run is still changing ${options.identity.name} after ${waitMs / 1000} s: process ${pids.join(', ')}`,
    failedCommand(options.identity, shown, outcome),
    {suggestions: [`see what it is doing: ps -o pid,etime,args -s ${pids.join(',')}`]},
  )
}

/** Runs commands over a link, a few at a time, and turns what went wrong into our errors. */
class Shell {
  readonly options: ShellHostOptions
  readonly #slots = pLimit(commandsAtOnce)
  /** The connection on which it is sure that nothing of a lost one is still at work. */
  #settled: {readonly connection: number; readonly done: Promise<void>} | undefined

  constructor(options: ShellHostOptions) {
    this.options = options
  }

  /** Resolves for every command that ended by itself. */
  async run(shown: string, request: CommandRequest): Promise<CommandOutcome> {
    const {identity, link, log} = this.options
    const startedAtMs = performance.now()
    const tell = (text: string): void => log(identity.redactor.redact(`${identity.name}: ${text}`))
    tell(`$ ${shown}`)
    if (request.change !== undefined) await this.#settle(request.signal ?? new AbortController().signal)
    const outcome = await this.#slots(() => runCommand(link, request)).catch((error: unknown) => {
      tell(`= ${shown}: ${error instanceof Error ? error.message : 'stopped'}`)
      throw error
    })
    const took = `${Math.round(performance.now() - startedAtMs)} ms`
    tell(
      `= ${shown}: ${outcome.kind === 'ended' ? `code ${outcome.exitCode ?? outcome.signal}` : outcome.kind}, ${took}`,
    )
    const error = errorOfNoAnswer(identity, shown, outcome, request.timeoutMs)
    if (error !== undefined) throw error
    if (outcome.kind === 'not-started') throw errorOfFailure(identity, shown, outcome)
    return outcome
  }

  /** A change whose connection was lost may go on there: the next change must not run beside it. */
  async #settle(signal: AbortSignal): Promise<void> {
    const connection = await this.options.link.connected(signal)
    if (this.#settled === undefined) this.#settled = {connection, done: Promise.resolve()}
    if (this.#settled.connection !== connection) {
      this.#settled = {connection, done: awaitLeftovers(this, {...this.options, exclusive: false})}
    }
    await this.#settled.done
  }
}

class ShellHost implements Host {
  readonly facts: HostFacts
  readonly #shell: Shell

  constructor(shell: Shell, facts: HostFacts) {
    this.#shell = shell
    this.facts = facts
  }

  get name(): string {
    return this.machine.name
  }

  get machine(): Machine {
    return this.#shell.options.machine
  }

  async query(argv: Argv, options: QueryOptions = {}): Promise<CommandResult> {
    return this.#ask(quoteArgv(argv), argvBody(argv), options)
  }

  async queryScript(script: Script, options: QueryOptions = {}): Promise<CommandResult> {
    return this.#ask(script.name, scriptBody(script.text), options)
  }

  async readFile(path: string): Promise<string | undefined> {
    const text = `[ -e "$1" ] || exit ${absentFileCode}; exec cat -- "$1"`
    const shown = `cat ${quoteArgv([path])}`
    const outcome = await this.#shell.run(shown, this.#request(scriptBody(text, [path]), {}, queryTimeoutMs))
    if (outcome.exitCode === absentFileCode) return undefined
    if (outcome.exitCode !== 0) throw errorOfFailure(this.#shell.options.identity, shown, outcome)
    if (outcome.stdoutTruncated) throw new RangeError(`${path} on ${this.name} is too large to read`)
    return outcome.stdout
  }

  async exec(argv: Argv, options: ExecOptions = {}): Promise<CommandResult> {
    return this.#change(quoteArgv(argv), argvBody(argv), options, options.stdin)
  }

  async runScript(script: Script, options: ExecOptions = {}): Promise<CommandResult> {
    return this.#change(script.name, scriptBody(script.text), options, options.stdin)
  }

  async pipe(
    script: Script,
    content: AsyncIterable<Uint8Array>,
    options: ExecOptions & {onProgress?: (sentBytes: number) => void} = {},
  ): Promise<CommandResult> {
    const streaming = {timeoutMs: streamTimeoutMs, ...options}
    return this.#change(script.name, scriptBody(script.text), streaming, content, options.onProgress)
  }

  async writeFile(path: string, content: string, options: {mode: number; secret?: boolean}): Promise<void> {
    const bytes = Buffer.from(content, 'utf8')
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    await this.#receive(
      `write ${path}`,
      path,
      content,
      {...options, sha256, sizeBytes: bytes.length},
      execTimeoutMs,
    )
  }

  async upload(content: AsyncIterable<Uint8Array>, path: string, options: UploadOptions): Promise<void> {
    await this.#receive(`upload ${path}`, path, content, options, streamTimeoutMs)
  }

  async forward(targetHost: string, targetPort: number): Promise<Tunnel> {
    return this.#shell.options.link.forward(targetHost, targetPort)
  }

  async close(): Promise<void> {
    await this.#shell.options.link.close()
  }

  async #ask(shown: string, body: string, options: QueryOptions): Promise<CommandResult> {
    const request = this.#request(body, options, queryTimeoutMs)
    const outcome = await this.#shell.run(shown, {
      ...request,
      ...(options.stdin === undefined ? {} : {stdin: options.stdin}),
    })
    return this.#result(shown, outcome)
  }

  async #change(
    shown: string,
    body: string,
    options: ExecOptions,
    stdin: string | AsyncIterable<Uint8Array> | undefined,
    onSent?: (sentBytes: number) => void,
  ): Promise<CommandResult> {
    const {identity, log, token} = this.#shell.options
    const redact = (line: string, isCut: boolean): string => {
      const redacted = identity.redactor.redact(line)
      return isCut ? cutLine(redacted) : redacted
    }
    const outcome = await this.#shell.run(shown, {
      ...this.#request(body, options, execTimeoutMs),
      ...(stdin === undefined ? {} : {stdin}),
      change: {token},
      onSent,
      onStdoutLine: (line, isCut) => {
        const told = redact(line, isCut)
        log(`${identity.name}: | ${told}`)
        options.onLine?.(told)
      },
      onStderrLine: (line, isCut) => log(`${identity.name}: ! ${redact(line, isCut)}`),
    })
    if (outcome.exitCode !== 0) throw errorOfFailure(identity, shown, outcome)
    return this.#result(shown, outcome)
  }

  async #receive(
    shown: string,
    path: string,
    content: string | AsyncIterable<Uint8Array>,
    options: UploadOptions,
    timeoutMs: number,
  ): Promise<void> {
    const {identity, token} = this.#shell.options
    const words = [path, options.mode.toString(8), String(options.sizeBytes), options.sha256]
    const outcome = await this.#shell.run(shown, {
      ...this.#request(scriptBody(receiveScript, words), options, timeoutMs),
      stdin: content,
      change: {token},
      onSent: options.onProgress,
    })
    if (outcome.exitCode === 0) return
    const mismatch = {
      code: 'DIGEST_MISMATCH' as const,
      message: `${path} did not arrive intact on ${this.name}: ${outcome.stderr.trim()}`,
    }
    throw errorOfFailure(
      identity,
      shown,
      outcome,
      outcome.exitCode === digestMismatchCode ? mismatch : undefined,
    )
  }

  #request(
    body: string,
    options: Pick<QueryOptions, 'sudo' | 'timeoutMs' | 'secrets' | 'signal'>,
    timeoutMs: number,
  ): CommandRequest {
    const {identity, elevation} = this.#shell.options
    for (const secret of options.secrets ?? []) identity.redactor.add(secret)
    return {
      body,
      elevation: options.sudo === false ? {kind: 'none'} : elevation,
      timeoutMs: options.timeoutMs ?? timeoutMs,
      signal: options.signal,
    }
  }

  /** A command killed by a signal gave no answer, not even to a reader. */
  #result(shown: string, outcome: CommandOutcome): CommandResult {
    if (outcome.exitCode === undefined) throw errorOfFailure(this.#shell.options.identity, shown, outcome)
    return {exitCode: outcome.exitCode, stdout: outcome.stdout, stderr: outcome.stderr}
  }
}
