import {createHash} from 'node:crypto'
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

export interface FakeCall {
  readonly kind: 'query' | 'queryScript' | 'exec' | 'runScript' | 'pipe'
  /** The command line, quoted where needed, or the script's name. */
  readonly command: string
  /** Text of the script; empty for commands. */
  readonly text: string
  /** What it got on stdin, all of it. */
  readonly stdin: string
  readonly options: ExecOptions
}

export type FakeAnswer =
  string | {readonly exitCode?: number; readonly stdout?: string; readonly stderr?: string}

/** What a call is matched by: all of the command, a pattern found in it, or anything about the call. */
export type FakeMatch = string | RegExp | ((call: FakeCall) => boolean)

export interface FakeHostOptions {
  readonly name?: string
  readonly machine?: Partial<Machine>
  readonly facts?: Partial<HostFacts>
  readonly files?: Readonly<Record<string, string>>
}

export function fakeMachine(name: string, overrides: Partial<Machine> = {}): Machine {
  return {
    name,
    role: 'worker',
    address: '192.0.2.10',
    privateAddress: '10.0.0.10',
    ssh: {user: 'root', port: 22, hostKeys: []},
    labels: {},
    taints: [],
    ...overrides,
  }
}

/** A Debian 13 virtual machine fit for anything. */
export function fakeFacts(overrides: Partial<HostFacts> = {}): HostFacts {
  return {
    hostname: 'node-1',
    osId: 'debian',
    osVersion: '13',
    osPrettyName: 'Debian GNU/Linux 13 (trixie)',
    arch: 'amd64',
    kernel: '6.12.48+deb13-amd64',
    cgroupVersion: 2,
    container: false,
    capSysResource: true,
    cpus: 4,
    memoryMiB: 8192,
    machineId: 'b1d2c3e4f5a60718293a4b5c6d7e8f90',
    bootId: '0c6b3e2f-7f3a-4a53-9d3a-3a4ad2b0f6b1',
    systemd: true,
    systemdResolved: false,
    addresses: ['10.0.0.10/24'],
    routes: ['10.0.0.0/24'],
    clockSkewMs: 0,
    clockSkewErrorMs: 0,
    apiForwarded: true,
    sudo: 'root',
    ...overrides,
  }
}

/**
 * A host of scripted answers and files in memory. The answer added last that matches a call is given; a call that
 * nothing matches throws and is kept in `unexpected`. What changed the host is in `changes`, in order.
 */
export class FakeHost implements Host {
  readonly machine: Machine
  readonly facts: HostFacts
  readonly files = new Map<string, {content: string; mode: number}>()
  readonly calls: FakeCall[] = []
  /** `exec …`, `script NAME`, `pipe NAME`, `write PATH`, `upload PATH`. */
  readonly changes: string[] = []
  readonly unexpected: string[] = []
  closed = false
  readonly #answers: {
    match: FakeMatch
    answer: FakeAnswer | ((call: FakeCall) => FakeAnswer | Promise<FakeAnswer>)
  }[] = []

  constructor(options: FakeHostOptions = {}) {
    this.machine = fakeMachine(options.name ?? 'node-1', options.machine)
    this.facts = fakeFacts({hostname: this.machine.name, ...options.facts})
    for (const [path, content] of Object.entries(options.files ?? {}))
      this.files.set(path, {content, mode: 0o644})
  }

  get name(): string {
    return this.machine.name
  }

  /** Answers calls of any kind; text stands for stdout of a success. */
  on(
    match: FakeMatch,
    answer: FakeAnswer | ((call: FakeCall) => FakeAnswer | Promise<FakeAnswer>) = '',
  ): this {
    this.#answers.push({match, answer})
    return this
  }

  async query(argv: Argv, options: QueryOptions = {}): Promise<CommandResult> {
    return this.#answer({
      kind: 'query',
      command: quoteArgv(argv),
      text: '',
      stdin: options.stdin ?? '',
      options,
    })
  }

  async queryScript(script: Script, options: QueryOptions = {}): Promise<CommandResult> {
    return this.#answer({
      kind: 'queryScript',
      command: script.name,
      text: script.text,
      stdin: options.stdin ?? '',
      options,
    })
  }

  readFile(path: string): Promise<string | undefined> {
    return Promise.resolve(this.files.get(path)?.content)
  }

  async exec(argv: Argv, options: ExecOptions = {}): Promise<CommandResult> {
    const command = quoteArgv(argv)
    return this.#change(`exec ${command}`, {
      kind: 'exec',
      command,
      text: '',
      stdin: options.stdin ?? '',
      options,
    })
  }

  async runScript(script: Script, options: ExecOptions = {}): Promise<CommandResult> {
    const {name: command, text} = script
    return this.#change(`script ${command}`, {
      kind: 'runScript',
      command,
      text,
      stdin: options.stdin ?? '',
      options,
    })
  }

  async pipe(
    script: Script,
    content: AsyncIterable<Uint8Array>,
    options: ExecOptions & {onProgress?: (sentBytes: number) => void} = {},
  ): Promise<CommandResult> {
    const {name: command, text} = script
    const bytes = await collect(content, options.onProgress)
    return this.#change(`pipe ${command}`, {
      kind: 'pipe',
      command,
      text,
      stdin: bytes.toString('utf8'),
      options,
    })
  }

  writeFile(path: string, content: string, options: {mode: number; secret?: boolean}): Promise<void> {
    this.changes.push(`write ${path}`)
    this.files.set(path, {content, mode: options.mode})
    return Promise.resolve()
  }

  async upload(content: AsyncIterable<Uint8Array>, path: string, options: UploadOptions): Promise<void> {
    const bytes = await collect(content, options.onProgress)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    this.changes.push(`upload ${path}`)
    if (sha256 !== options.sha256) {
      const failed = {
        host: this.name,
        command: `upload ${path}`,
        exitCode: 65,
        signal: undefined,
        stdout: '',
        stderr: '',
      }
      throw new HostCommandError('DIGEST_MISMATCH', `${path} did not arrive intact`, failed)
    }
    this.files.set(path, {content: bytes.toString('utf8'), mode: options.mode})
  }

  forward(_targetHost: string, targetPort: number): Promise<Tunnel> {
    return Promise.resolve({
      localPort: targetPort,
      failure: () => undefined,
      close: () => Promise.resolve(),
    })
  }

  close(): Promise<void> {
    this.closed = true
    return Promise.resolve()
  }

  async #change(change: string, call: FakeCall): Promise<CommandResult> {
    this.changes.push(change)
    const result = await this.#answer(call)
    for (const line of result.stdout.split('\n').filter((text) => text !== '')) call.options.onLine?.(line)
    if (result.exitCode === 0) return result
    const failed = {host: this.name, command: call.command, signal: undefined, ...result}
    throw new HostCommandError(
      'HOST_COMMAND_FAILED',
      `\`${call.command}\` exited with code ${result.exitCode}\n  ${result.stderr.trim()}`,
      failed,
    )
  }

  async #answer(call: FakeCall): Promise<CommandResult> {
    call.options.signal?.throwIfAborted()
    this.calls.push(call)
    const found = this.#answers.findLast(({match}) => matches(match, call))
    if (found === undefined) {
      const said = `${call.kind} ${call.command}`
      this.unexpected.push(said)
      throw new Error(`unexpected on ${this.name}: ${said}${call.text === '' ? '' : `\n${call.text}`}`)
    }
    const answer = typeof found.answer === 'function' ? await found.answer(call) : found.answer
    return {exitCode: 0, stdout: '', stderr: '', ...(typeof answer === 'string' ? {stdout: answer} : answer)}
  }
}

function matches(match: FakeMatch, call: FakeCall): boolean {
  if (typeof match === 'string') return match === call.command
  return match instanceof RegExp ? match.test(call.command) : match(call)
}

async function collect(
  content: AsyncIterable<Uint8Array>,
  onProgress?: (sentBytes: number) => void,
): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let sentBytes = 0
  for await (const chunk of content) {
    chunks.push(chunk)
    sentBytes += chunk.byteLength
    onProgress?.(sentBytes)
  }
  return Buffer.concat(chunks)
}
