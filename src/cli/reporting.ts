import {join} from 'node:path'
import type {Report} from '../engine/types.ts'
import {createRedactor, type Redactor} from '../hosts/redaction.ts'
import {clusterPaths} from '../store/disk.ts'
import {jsonReporter} from './reporters/json.ts'
import {linesReporter} from './reporters/lines.ts'
import {listrReporter} from './reporters/listr.ts'
import {logFile, type LogFile} from './reporters/log-file.ts'
import {reportTo, type Reporter} from './reporters/reporter.ts'
import {palette, type Terminal} from './terminal.ts'

export interface Reporting {
  readonly report: Report
  readonly redactor: Redactor
  readonly terminalReporter: Reporter
  readonly log: LogFile | undefined
}

/** Chooses who is told the events of a run: JSON lines, a drawing or plain lines; and the run log. */
export function openReporting(options: {
  terminal: Terminal
  json: boolean
  home: string
  cluster: string | undefined
  run: string
}): Reporting {
  const redactor = createRedactor()
  const terminalReporter = reporterFor(options.terminal, options.json)
  const log =
    options.cluster === undefined
      ? undefined
      : logFile(
          join(clusterPaths(options.home, options.cluster).logs, `${options.run}.log`),
          () => new Date(),
        )
  const reporters = log === undefined ? [terminalReporter] : [terminalReporter, log]
  const redact = (text: string) => redactor.redact(text)
  return {report: reportTo(reporters, redact), redactor, terminalReporter, log}
}

function reporterFor(terminal: Terminal, json: boolean): Reporter {
  const now = () => performance.now()
  if (json) return jsonReporter({write: (text) => terminal.out.write(text), now: () => new Date()})
  if (terminal.draws) {
    return listrReporter({stream: terminal.err, colours: palette(terminal.colours), now})
  }
  return linesReporter({write: (text) => terminal.err.write(text), now})
}
