import {join} from 'node:path'
import type {Report} from '../base/run-events.ts'
import {createRedactor, type Redactor} from '../base/redaction.ts'
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
  /** Adds the run log of a cluster, known once the cluster's name is. */
  openLog(home: string, cluster: string, run: string): void
  log(): LogFile | undefined
  /** Leaves the terminal to others; see Reporter. */
  pause(): Promise<void>
}

/** Chooses who is told the events of a run: JSON lines, a drawing or plain lines; and the run log. */
export function openReporting(terminal: Terminal, json: boolean): Reporting {
  const redactor = createRedactor()
  const onTerminal = reporterFor(terminal, json)
  const reporters: Reporter[] = [onTerminal]
  let log: LogFile | undefined
  return {
    report: reportTo(reporters, (text) => redactor.redact(text)),
    redactor,
    openLog: (home, cluster, run) => {
      log = logFile(join(clusterPaths(home, cluster).logs, `${run}.log`), () => new Date())
      reporters.push(log)
    },
    log: () => log,
    pause: () => onTerminal.pause(),
  }
}

function reporterFor(terminal: Terminal, json: boolean): Reporter {
  const now = () => performance.now()
  if (json) return jsonReporter({write: (text) => terminal.out.write(text), now: () => new Date()})
  if (terminal.draws) {
    return listrReporter({stream: terminal.err, colours: palette(terminal.colours), now})
  }
  return linesReporter({write: (text) => terminal.err.write(text), now})
}
