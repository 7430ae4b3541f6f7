import {homedir} from 'node:os'
import {Command, Flags} from '@oclif/core'
import {AbortError} from '../errors.ts'
import type {Redactor} from '../hosts/redaction.ts'
import type {Tools} from '../workflows/types.ts'
import {showFailure} from './failure.ts'
import {confirm} from './prompts.ts'
import type {Reporter} from './reporters/reporter.ts'
import type {LogFile} from './reporters/log-file.ts'
import {interruptible, type Interruption} from './signals.ts'
import {palette, terminalOf, type Palette, type Terminal} from './terminal.ts'

export interface OpenOptions {
  /** The cluster whose folder gets the run log; absent: no log. */
  readonly cluster?: string | undefined
  readonly bundleDir?: string | undefined
}

/** What every command stands on: tools, one AbortController, reporting, and errors shown once. */
export abstract class BaseCommand extends Command {
  static override baseFlags = {
    json: Flags.boolean({
      description: 'events and the result as JSON, one object per line',
      env: 'CLOUDER_JSON',
      helpGroup: 'GLOBAL',
    }),
  }

  protected readonly terminal: Terminal = terminalOf(process)
  protected readonly colours: Palette = palette(this.terminal.colours)
  readonly #startedAt = new Date()
  #interruption: Interruption | undefined
  #redactor: Redactor | undefined
  #reporter: Reporter | undefined
  #log: LogFile | undefined

  /** Whether stdout is for a program: known before flags are parsed, so that a wrong flag is told as JSON too. */
  protected wantsJson(): boolean {
    const end = this.argv.indexOf('--')
    const own = end === -1 ? this.argv : this.argv.slice(0, end)
    return own.includes('--json') || /^(1|true|yes|on)$/i.test(process.env.CLOUDER_JSON ?? '')
  }

  /** Builds the tools of this run; from here on signals stop it, and events are reported. */
  protected async tools(options: OpenOptions = {}): Promise<Tools> {
    const [{buildTools, clouderHome}, {openReporting}] = await Promise.all([
      import('../wiring.ts'),
      import('./reporting.ts'),
    ])
    this.#interruption ??= interruptible((text) => this.terminal.err.write(text))
    const home = clouderHome(process.env, homedir())
    const command = (this.id ?? 'clouder').replaceAll(':', '-').replace(/^kubeadm-/, '')
    const run = `${this.#startedAt.toISOString().slice(0, 19).replaceAll(':', '-')}-${command}`
    const reporting = openReporting({
      terminal: this.terminal,
      json: this.wantsJson(),
      home,
      cluster: options.cluster,
      run,
    })
    this.#redactor = reporting.redactor
    this.#reporter = reporting.terminalReporter
    this.#log = reporting.log
    return buildTools({
      environment: process.env,
      userHome: homedir(),
      home,
      pid: process.pid,
      report: reporting.report,
      redactor: reporting.redactor,
      signal: this.#interruption.signal,
      packageRoot: this.config.root,
      run,
      bundleDir: options.bundleDir,
    })
  }

  /** Prints the result: text for people, or the last line of `--json`. */
  protected async show(result: object, text: () => string): Promise<void> {
    await this.#reporter?.pause()
    const redact = (shown: string) => this.#redactor?.redact(shown) ?? shown
    if (this.wantsJson()) {
      const line = {type: 'result', time: new Date().toISOString(), ...result}
      this.terminal.out.write(`${redact(JSON.stringify(line))}\n`)
      return
    }
    const shown = text()
    if (shown !== '') this.terminal.out.write(`${redact(shown)}\n`)
  }

  /** Asks before something that can't be undone; see prompts.ts. */
  protected async ask(question: {text: string; declined: string; yes: boolean}): Promise<void> {
    await this.#reporter?.pause()
    const signal = this.#interruption?.signal ?? new AbortController().signal
    await confirm({...question, terminal: this.terminal, signal})
  }

  override async catch(error: unknown): Promise<void> {
    await this.#reporter?.pause()
    const interrupted = this.#interruption?.signal.aborted === true && !(error instanceof AbortError)
    const shown = interrupted
      ? new AbortError('INTERRUPTED', 'stopped; run the same command again to continue', {cause: error})
      : error
    const context = {
      version: this.config.userAgent,
      redact: (text: string) => this.#redactor?.redact(text) ?? text,
    }
    const log = this.#log
    const logged = log?.written() === true ? log : undefined
    if (logged !== undefined) {
      const {renderError} = await import('./error-text.ts')
      const text = renderError(error, {colours: palette(false), columns: undefined, version: context.version})
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
    await this.#reporter?.pause()
    this.#interruption?.[Symbol.dispose]()
  }
}
