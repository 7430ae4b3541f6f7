import type {RunOptions} from '../../src/bootstrap/engine/types.ts'
import type {Host} from '../../src/bootstrap/hosts/host.ts'
import {memoryJournal} from './memory-journal.ts'
import {recordingReport, type RecordingReport} from './recording-report.ts'

export interface Runner {
  readonly tool: string
}

/** A host of which nothing may be used but its name and what is given. */
export function namedHost(
  name: string,
  given: Partial<Pick<Host, 'exec' | 'queryScript' | 'machine' | 'facts'>> = {},
): Host {
  const unused = (): never => {
    throw new Error(`of ${name} this was not expected to be used`)
  }
  return {
    name,
    get machine() {
      return unused()
    },
    get facts() {
      return unused()
    },
    query: unused,
    queryScript: unused,
    readFile: unused,
    exec: unused,
    runScript: unused,
    writeFile: unused,
    upload: unused,
    pipe: unused,
    forward: unused,
    close: unused,
    ...given,
  }
}

/** Options of a run that tells everything to `told`. */
export function runOptions(more: Partial<RunOptions<Runner>> = {}): {
  readonly options: RunOptions<Runner>
  readonly told: RecordingReport
} {
  const told = recordingReport()
  return {
    told,
    options: {
      report: told.report,
      signal: new AbortController().signal,
      dryRun: false,
      concurrency: 10,
      skip: [],
      journal: memoryJournal(),
      run: 'r1',
      hostFor: namedHost,
      tools: {tool: 'hammer'},
      now: Date.now,
      ...more,
    },
  }
}
