import {homedir} from 'node:os'
import {Command, Flags} from '@oclif/core'
import {AbortError} from '../base/errors.ts'
import type {Tools} from '../workflows/session/types.ts'
import {showFailure} from './failure.ts'
import {confirm} from './prompts.ts'
import type {Reporting} from './reporting.ts'
import {interruptible, type Interruption} from './signals.ts'
import {palette, terminalOf, type Palette, type Terminal} from './terminal.ts'

export interface OpenOptions {
  readonly bundleDir?: string | undefined
  /** False where a program in the foreground gets the signals of the terminal itself. Default true. */
  readonly signals?: boolean
}

/** What every command stands on: tools, one AbortController, reporting, and errors shown once. */
export abstract class BaseCommand extends Command {
  static override baseFlags = {
    json: Flags.boolean({
      description: 'print events and the result as JSON, one object per line',
      env: 'CLOUDER_JSON',
      helpGroup: 'GLOBAL',
    }),
  }

  readonly terminal: Terminal = terminalOf(process)
  readonly colours: Palette = palette(this.terminal.colours)
  readonly #startedAt = new Date()
  #interruption: Interruption | undefined
  #reporting: Reporting | undefined
  #home = ''
  #run = ''

  /** Whether stdout is for a program: known before flags are parsed, so that a wrong flag is told as JSON too. */
  wantsJson(): boolean {
    const end = this.argv.indexOf('--')
    const own = end === -1 ? this.argv : this.argv.slice(0, end)
    return own.includes('--json') || /^(1|true|yes|on)$/i.test(process.env.CLOUDER_JSON ?? '')
  }

  /** Builds the tools of this run; from here on signals stop it, and events are reported. */
  async tools(options: OpenOptions = {}): Promise<Tools> {
    const [{buildTools, clouderHome}, {openReporting}] = await Promise.all([
      import('../wiring.ts'),
      import('./reporting.ts'),
    ])
    if (options.signals !== false)
      this.#interruption ??= interruptible((text) => this.terminal.err.write(text))
    const home = clouderHome(process.env, homedir())
    const command = (this.id ?? 'clouder').replaceAll(':', '-').replace(/^kubeadm-/, '')
    const run = `${this.#startedAt.toISOString().slice(0, 19).replaceAll(':', '-')}-${command}`
    const reporting = openReporting(this.terminal, this.wantsJson())
    this.#reporting = reporting
    this.#home = home
    this.#run = run
    return buildTools({
      environment: process.env,
      userHome: homedir(),
      home,
      pid: process.pid,
      report: reporting.report,
      redactor: reporting.redactor,
      log: (line) => reporting.log()?.append(`${reporting.redactor.redact(line)}\n`),
      signal: this.#interruption?.signal ?? new AbortController().signal,
      packageRoot: this.config.root,
      run,
      bundleDir: options.bundleDir,
    })
  }

  /** From here on, every event is in the run log of this cluster too. */
  logTo(cluster: string): void {
    this.#reporting?.openLog(this.#home, cluster, this.#run)
  }

  /** Prints the result: text for people, or the last line of `--json`. */
  async show(result: object, text: () => string): Promise<void> {
    await this.#reporting?.pause()
    const redact = (shown: string) => this.#reporting?.redactor.redact(shown) ?? shown
    if (this.wantsJson()) {
      const line = {type: 'result', time: new Date().toISOString(), ...result}
      this.terminal.out.write(`${redact(JSON.stringify(line))}\n`)
      return
    }
    const shown = text()
    if (shown !== '') this.terminal.out.write(`${redact(shown)}\n`)
  }

  /** Shows a plan before it is asked about; not to programs, which get results only. */
  async preview(text: string): Promise<void> {
    await this.#reporting?.pause()
    if (!this.wantsJson()) this.terminal.err.write(`${this.#reporting?.redactor.redact(text) ?? text}\n\n`)
  }

  /** Asks before something that can't be undone; see prompts.ts. */
  async ask(question: {text: string; declined: string; yes: boolean}): Promise<void> {
    await this.#reporting?.pause()
    const signal = this.#interruption?.signal ?? new AbortController().signal
    await confirm({...question, terminal: this.terminal, signal})
  }

  override async catch(error: unknown): Promise<void> {
    await this.#reporting?.pause()
    const interrupted = this.#interruption?.signal.aborted === true && !(error instanceof AbortError)
    const shown = interrupted
      ? new AbortError('INTERRUPTED', 'stopped; run the same command again to continue', {cause: error})
      : error
    const context = {
      version: this.config.userAgent,
      help: `clouder ${(this.id ?? '').replaceAll(':', ' ')} --help`,
      redact: (text: string) => this.#reporting?.redactor.redact(text) ?? text,
    }
    const log = this.#reporting?.log()
    const logged = log?.written() === true ? log : undefined
    if (logged !== undefined) {
      const {renderError} = await import('./error-text.ts')
      const text = renderError(error, {
        colours: palette(false),
        columns: undefined,
        version: context.version,
        help: context.help,
      })
      logged.append(context.redact(text))
    }
    process.exitCode = showFailure(shown, {
      ...context,
      terminal: this.terminal,
      json: this.wantsJson(),
      log: logged?.path,
    })
  }

  override async finally(): Promise<void> {
    await this.#reporting?.pause()
    this.#interruption?.[Symbol.dispose]()
  }
}
