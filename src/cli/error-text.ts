import {
  AbortError,
  ClouderError,
  type ConfigProblem,
  type FailedCommand,
  type HostFailure,
  type PreflightFinding,
  type Rendering,
  type TerraformDiagnostic,
} from '../base/errors.ts'
import {renderTable} from './table.ts'
import type {Palette} from './terminal.ts'

export interface ErrorTextOptions {
  readonly colours: Palette
  readonly columns: number | undefined
  /** `clouder/0.1.0 linux-x64 node-v24.21.0`, told with a bug. */
  readonly version: string
  readonly log?: string | undefined
  /** The command that shows which flags there are: `clouder kubeadm init --help`. */
  readonly help: string
}

/** A wrong flag or argument, refused by oclif before the command began. */
export function isUsageError(error: unknown): error is Error {
  return error instanceof Error && 'oclif' in error && 'skipOclifErrorHandling' in error
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof ClouderError) return error.exitCode
  if (error instanceof Error && 'oclif' in error) {
    const {oclif} = error
    if (typeof oclif === 'object' && oclif !== null && 'exit' in oclif && typeof oclif.exit === 'number') {
      return oclif.exit
    }
  }
  return 1
}

export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.message.replace(/\nSee more help with --help$/, '')
}

export const renderingOf = (error: unknown): Rendering =>
  error instanceof ClouderError ? error.rendering : {}

/** The causes of an error, outermost first. A host failure's own error is told with the host instead. */
export function causesOf(error: unknown): readonly unknown[] {
  const causes: unknown[] = []
  let at = error
  while (at instanceof Error && renderingOf(at).failures === undefined && at.cause !== undefined) {
    at = at.cause
    if (causes.includes(at)) break
    causes.push(at)
  }
  return causes
}

/** An error as the user sees it; ends with a line break. */
export function renderError(error: unknown, options: ErrorTextOptions): string {
  if (error instanceof AbortError) return `${messageOf(error)}\n`
  if (!(error instanceof ClouderError) && exitCodeOf(error) === 1) return bug(error, options)
  const {bold, red} = options.colours
  const lines = [`${red(bold('Error:'))} ${messageOf(error)}`, ...detailLines(error, options)]
  for (const cause of causesOf(error)) {
    if (!lines.join('\n').includes(messageOf(cause))) lines.push(`  because: ${messageOf(cause)}`)
  }
  if (error instanceof ClouderError) lines.push(`Code: ${error.code}`)
  const suggestions = suggestionsOf(error, options)
  if (suggestions.length > 0) lines.push('Try this:', ...suggestions.map((text) => `  * ${text}`))
  return `${lines.join('\n')}\n`
}

function bug(error: unknown, options: ErrorTextOptions): string {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
  const causes = causesOf(error).map(
    (cause) => `because: ${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}`,
  )
  return [
    `${options.colours.red(options.colours.bold('Error:'))} unexpected: ${messageOf(error)}`,
    stack,
    ...causes,
    options.version,
    ...(options.log === undefined ? [] : [`full output: ${options.log}`]),
    'This is a bug in clouder: please report it with the lines above.',
    '',
  ].join('\n')
}

function detailLines(error: unknown, options: ErrorTextOptions): readonly string[] {
  const {problems = [], findings = [], failed, diagnostics = [], failures = []} = renderingOf(error)
  const message = messageOf(error)
  return [
    ...problemLines(problems, message),
    ...(findings.length === 0 ? [] : [findingsTable(findings, options)]),
    ...(failed === undefined ? [] : outputLines(failed, message)),
    ...diagnosticLines(diagnostics, message, options),
    ...failures.flatMap((failure) => failureLines(failure, options)),
  ]
}

/** A single problem is in the message already. */
function problemLines(problems: readonly ConfigProblem[], message: string): readonly string[] {
  return problems.length === 1 && problems.every(({problem}) => message.includes(problem))
    ? []
    : problems.map(problemLine)
}

function problemLine({path, value, problem}: ConfigProblem): string {
  const shown = value === undefined ? undefined : JSON.stringify(value)
  const known = shown === undefined || shown.length > 80 || problem.includes(shown)
  return known ? `  ${path}: ${problem}` : `  ${path}: ${shown} ${problem}`
}

function findingsTable(findings: readonly PreflightFinding[], options: ErrorTextOptions): string {
  const table = [
    {title: 'host', text: (row: PreflightFinding) => row.host},
    {title: 'check', text: (row: PreflightFinding) => row.check},
    {title: 'problem', text: (row: PreflightFinding) => row.problem},
    {title: 'fix', text: (row: PreflightFinding) => row.fix},
  ]
  // Problems and fixes are never cut: they are what the reader came for.
  return renderTable(table, findings, {heading: options.colours.bold}).replaceAll(/^/gm, '  ')
}

const shownLines = 8

/** The last meaningful lines of what the command wrote, unless the message has them already. */
function outputLines(failed: FailedCommand, message: string): readonly string[] {
  const text = failed.stderr.trim() === '' ? failed.stdout : failed.stderr
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !message.includes(line.trim()))
  return lines.slice(-shownLines).map((line) => `  ${line.trimEnd()}`)
}

/** Every error of Terraform; a single one is in the message already. */
function diagnosticLines(
  diagnostics: readonly TerraformDiagnostic[],
  message: string,
  {colours}: ErrorTextOptions,
): readonly string[] {
  return diagnostics.flatMap(({address, summary, detail}) => {
    const said = detail.split('\n').filter((line) => line.trim() !== '' && !message.includes(line.trim()))
    const where = address === undefined ? '' : `${colours.bold(address)}: `
    const head = diagnostics.length === 1 ? [] : [`  ${where}${summary}`]
    return [...head, ...said.slice(0, shownLines).map((line) => `  ${line.trimEnd()}`)]
  })
}

function failureLines(failure: HostFailure, options: ErrorTextOptions): readonly string[] {
  const message = messageOf(failure.error)
  // What is said of a connection names its host already.
  const named = failure.step === undefined && failure.host !== undefined && mentions(message, failure.host)
  const parts = named ? [] : [failure.host ?? 'the cluster', failure.step]
  const where = parts.flatMap((part) => (part === undefined ? [] : [`${part}: `])).join('')
  const code = failure.error instanceof ClouderError ? ` (${failure.error.code})` : ''
  const causes = causesOf(failure.error)
    .map(messageOf)
    .filter((text) => !failure.error.message.includes(text))
  return [
    `  ${options.colours.bold(where)}${message}${code}`,
    ...detailLines(failure.error, options).map((line) => `  ${line}`),
    ...causes.map((text) => `    because: ${text}`),
  ]
}

function mentions(message: string, host: string): boolean {
  return message.split(/[\s:,;]+/).includes(host)
}

function suggestionsOf(error: unknown, {log, help}: ErrorTextOptions): readonly string[] {
  const own = error instanceof ClouderError ? error.suggestions : [help]
  const ofHosts = (renderingOf(error).failures ?? []).flatMap(({error: each}) =>
    each instanceof ClouderError ? each.suggestions : [],
  )
  const ofCauses = causesOf(error).flatMap((cause) =>
    cause instanceof ClouderError ? cause.suggestions : [],
  )
  const all = [...own, ...ofHosts, ...ofCauses]
  if (log !== undefined) all.push(`full output: ${log}`)
  return [...new Set(all)]
}
