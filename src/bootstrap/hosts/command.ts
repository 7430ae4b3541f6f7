import {once} from 'node:events'
import {pause} from '../../base/waiting.ts'
import type {Channel, ChannelEnd, Link} from './link.ts'
import {LineSplitter, OutputTail} from './output.ts'
import {
  launchLine,
  outputMarker,
  passwordPrompt,
  program,
  readyMarker,
  scriptBody,
  shellMarker,
  startedMarker,
  stopScript,
  type Elevation,
} from './program.ts'

const keptOutputBytes = 4 * 1024 * 1024
const keptNoiseBytes = 4_096
/** Directories of users and name servers make sudo slow; a prompt for something else than a password never ends. */
const sudoTimeoutMs = 30_000
const stopTimeoutMs = 15_000
/** As long as a command that is stopped may take to report that it started, and its channel to close. */
const graceMs = 3_000

export interface CommandRequest {
  /** Bash text that is or does the command; see program.ts. */
  readonly body: string
  readonly elevation: Elevation
  /** Present for what may change the host: recorded there while it runs, under this run's token. */
  readonly change?: {readonly token: string}
  readonly stdin?: string | AsyncIterable<Uint8Array>
  readonly timeoutMs: number
  readonly graceMs?: number
  /** Stops another command: when it takes too long itself, it is left alone. */
  readonly stopping?: true
  readonly signal?: AbortSignal | undefined
  /** `isCut`: the beginning of a line that is too long. */
  readonly onStdoutLine?: ((line: string, isCut: boolean) => void) | undefined
  readonly onStderrLine?: ((line: string, isCut: boolean) => void) | undefined
  readonly onSent?: ((sentBytes: number) => void) | undefined
}

export interface CommandOutcome {
  /**
   * ended: exit code or signal is there. lost: the link died. timed-out: stopped on the host.
   * refused: sudo did not let it start. sudo-hung: sudo neither let it start nor refused. not-started: the login shell
   * could not start bash. no-shell: something else than a shell took the line.
   */
  readonly kind: 'ended' | 'lost' | 'timed-out' | 'refused' | 'sudo-hung' | 'not-started' | 'no-shell'
  readonly exitCode: number | undefined
  readonly signal: string | undefined
  readonly stdout: string
  readonly stderr: string
  readonly stdoutTruncated: boolean
  /** Whether sudo asked for the password. */
  readonly askedPassword: boolean
}

/** Runs one command to its end. Throws what `link.open` throws, the signal's reason, or what `stdin` throws. */
export async function runCommand(link: Link, request: CommandRequest): Promise<CommandOutcome> {
  const signal = request.signal ?? new AbortController().signal
  signal.throwIfAborted()
  const channel = await link.open(launchLine(request.elevation), signal)
  const run = new RunningCommand(channel, request)
  const timer = new AbortController()
  const aborted = Promise.withResolvers<'aborted'>()
  const onAbort = (): void => aborted.resolve('aborted')
  signal.addEventListener('abort', onAbort, {once: true})
  try {
    // It may have come while the channel was being opened.
    if (signal.aborted) onAbort()
    const feeding = run.feed()
    const winner = await Promise.race([
      channel.ended.then(() => 'ended' as const),
      // Content that fails to arrive from here must not leave a command waiting for it there.
      feeding.then(() => channel.ended).then(() => 'ended' as const),
      aborted.promise,
      pause(request.timeoutMs, timer.signal).then(() => 'timed-out' as const),
      pause(sudoTimeoutMs, timer.signal).then(() =>
        run.awaitsSudo ? ('timed-out' as const) : new Promise<never>(() => undefined),
      ),
    ]).catch(async (error: unknown) => {
      await run.stop(link)
      throw error
    })
    if (winner !== 'ended') {
      await run.stop(link)
      feeding.catch(() => undefined)
    }
    if (winner === 'aborted') signal.throwIfAborted()
    // A host that hangs may never tell the end of what was given up.
    return winner === 'ended' ? run.outcome(await channel.ended) : run.outcome(undefined)
  } finally {
    timer.abort()
    signal.removeEventListener('abort', onAbort)
  }
}

class RunningCommand {
  readonly #channel: Channel
  readonly #request: CommandRequest
  readonly #stdout = new OutputTail(keptOutputBytes)
  readonly #stderr = new OutputTail(keptOutputBytes)
  /** What came on stdout before the marker: a forced command's words, where it never comes. */
  readonly #noiseTail = new OutputTail(keptNoiseBytes)
  /** What came on stderr before the command started: sudo's and the login shell's words. */
  #preamble = ''
  #sessionPid: number | undefined
  /** What came on stdout before the marker; undefined once that was seen. */
  #noise: Buffer | undefined = Buffer.alloc(0)
  #prompts = 0
  readonly #ready = Promise.withResolvers<undefined>()
  readonly #started = Promise.withResolvers<undefined>()
  readonly #lines: readonly LineSplitter[]

  constructor(channel: Channel, request: CommandRequest) {
    this.#channel = channel
    this.#request = request
    const outLines = new LineSplitter((...line) => request.onStdoutLine?.(...line))
    const errorLines = new LineSplitter((...line) => request.onStderrLine?.(...line))
    this.#lines = [outLines, errorLines]
    channel.stdout.on('data', (chunk: Buffer) => {
      if (this.#noise !== undefined) this.#noiseTail.add(chunk)
      const rest = this.#noise === undefined ? chunk : this.#skipNoise(this.#noise, chunk)
      this.#stdout.add(rest)
      outLines.add(rest)
    })
    channel.stderr.on('data', (chunk: Buffer) => {
      const rest = this.#sessionPid === undefined ? this.#readPreamble(chunk) : chunk
      this.#stderr.add(rest)
      errorLines.add(rest)
    })
    // Its end is told by `ended`; without a listener a write to a command that is gone would end the program.
    channel.stdin.on('error', () => channel.stdin.destroy())
  }

  #skipNoise(noise: Buffer, chunk: Buffer): Buffer {
    const all = Buffer.concat([noise, chunk])
    const at = all.indexOf(outputMarker)
    this.#noise = at === -1 ? all.subarray(-outputMarker.length) : undefined
    return at === -1 ? Buffer.alloc(0) : all.subarray(at + outputMarker.length)
  }

  #readPreamble(chunk: Buffer): Buffer {
    this.#preamble += chunk.toString('latin1')
    const started = startedMarker.exec(this.#preamble)
    if (started !== null) {
      this.#sessionPid = Number(started[1])
      this.#started.resolve(undefined)
      return Buffer.from(this.#preamble.slice(started.index + started[0].length), 'latin1')
    }
    if (this.#request.elevation.kind === 'sudo-password') this.#answerSudo(this.#request.elevation.password)
    return Buffer.alloc(0)
  }

  #answerSudo(password: string): void {
    const prompts = this.#preamble.split(passwordPrompt).length - 1
    if (prompts > this.#prompts) {
      this.#prompts = prompts
      // A second prompt means that the password is wrong: more tries could lock the account.
      if (prompts === 1) this.#channel.stdin.write(`${password}\n`)
      else this.#channel.close()
    }
    if (this.#preamble.includes(readyMarker)) this.#ready.resolve(undefined)
  }

  /** Whether the line has reached sudo, and sudo has not started bash yet. */
  get awaitsSudo(): boolean {
    return (
      this.#request.elevation.kind !== 'none' &&
      this.#sessionPid === undefined &&
      this.#preamble.includes(shellMarker)
    )
  }

  /** Sends the program and what follows it; resolves early when the command ends without reading all. */
  async feed(): Promise<void> {
    const {body, change, elevation, stdin, onSent} = this.#request
    const ended = this.#channel.ended.then(() => 'ended' as const)
    if (elevation.kind === 'sudo-password') {
      if ((await Promise.race([this.#ready.promise, ended])) === 'ended') return
    }
    const target = this.#channel.stdin
    target.write(program(body, change))
    if (typeof stdin === 'string') target.write(stdin)
    if (stdin !== undefined && typeof stdin !== 'string') {
      let sentBytes = 0
      for await (const chunk of stdin) {
        if (target.destroyed || !target.writable) return
        if (!target.write(chunk)) {
          if ((await Promise.race([drained(target), ended])) === 'ended') return
        }
        sentBytes += chunk.byteLength
        onSent?.(sentBytes)
      }
    }
    target.end()
  }

  /** Ends the command's processes on the host through a second channel, then gives up the first. */
  async stop(link: Link): Promise<void> {
    const grace = this.#request.graceMs ?? graceMs
    const timer = new AbortController()
    const within = (ms: number): Promise<void> => pause(ms, timer.signal)
    try {
      await Promise.race([this.#started.promise, this.#channel.ended, within(grace)])
      if (this.#sessionPid !== undefined && this.#request.stopping === undefined) {
        const body = scriptBody(stopScript(this.#sessionPid))
        const {elevation} = this.#request
        const stopping = runCommand(link, {body, elevation, timeoutMs: stopTimeoutMs, stopping: true})
        // Where the host can't be told any more, the record there makes the next run deal with it.
        await Promise.race([stopping, within(stopTimeoutMs)]).catch(() => undefined)
      }
      this.#channel.close()
      await Promise.race([this.#channel.ended, within(grace)])
    } finally {
      timer.abort()
    }
  }

  /** `end` is undefined for a command that took too long. */
  outcome(end: ChannelEnd | undefined): CommandOutcome {
    for (const lines of this.#lines) lines.end()
    const started = this.#sessionPid !== undefined
    return {
      kind: this.#kind(end),
      exitCode: end?.exitCode,
      signal: end?.signal,
      stdout: this.#stdout.text(),
      stderr: started ? this.#stderr.text() : this.#beforeStart(),
      stdoutTruncated: this.#stdout.truncated,
      askedPassword: this.#prompts > 0,
    }
  }

  /** What was said instead of starting, without our own marks. */
  #beforeStart(): string {
    const said = this.#preamble.replaceAll(passwordPrompt, '').replace(shellMarker, '')
    return this.#preamble.includes(shellMarker) ? said : `${this.#noiseTail.text()}\n${said}`
  }

  #kind(end: ChannelEnd | undefined): CommandOutcome['kind'] {
    const started = this.#sessionPid !== undefined
    if (this.awaitsSudo && this.#prompts > 1) return 'refused'
    if (end === undefined) return this.awaitsSudo ? 'sudo-hung' : 'timed-out'
    if (end.exitCode === undefined && end.signal === undefined) return 'lost'
    if (started) return 'ended'
    if (this.awaitsSudo) return 'refused'
    return this.#preamble.includes(shellMarker) ? 'not-started' : 'no-shell'
  }
}

async function drained(target: NodeJS.WritableStream): Promise<'drained'> {
  const settled = new AbortController()
  try {
    await Promise.race([
      once(target, 'drain', {signal: settled.signal}),
      once(target, 'close', {signal: settled.signal}),
    ])
    return 'drained'
  } finally {
    settled.abort()
  }
}
