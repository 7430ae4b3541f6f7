import {errorObject} from './error-object.ts'
import {exitCodeOf, renderError} from './error-text.ts'
import {palette, type Terminal} from './terminal.ts'

export interface FailureContext {
  readonly terminal: Terminal
  readonly json: boolean
  readonly version: string
  /** The run log, when this run has one. */
  readonly log?: string | undefined
  /** The command that shows which flags there are. */
  readonly help: string
  readonly redact: (text: string) => string
}

/** Shows an error, once, and gives the exit code of the process. */
export function showFailure(error: unknown, context: FailureContext): number {
  if (context.json) {
    const failure = {type: 'error', time: new Date().toISOString(), ...errorObject(error)}
    const log = context.log === undefined ? {} : {log: context.log}
    context.terminal.out.write(`${context.redact(JSON.stringify({...failure, ...log}))}\n`)
  } else {
    const text = renderError(error, {
      colours: palette(context.terminal.colours),
      columns: context.terminal.columns,
      version: context.version,
      log: context.log,
      help: context.help,
    })
    context.terminal.err.write(context.redact(text))
  }
  return exitCodeOf(error)
}
