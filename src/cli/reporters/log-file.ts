import {mkdirSync, openSync, writeSync} from 'node:fs'
import {dirname} from 'node:path'
import {describeEvent} from './lines.ts'
import type {Reporter} from './reporter.ts'

export interface LogFile extends Reporter {
  readonly path: string
  /** Adds text below the events: the error that ended the run. */
  append(text: string): void
  /** Whether anything was written. */
  written(): boolean
}

/**
 * The run log, 0600. Made with the first event, so that a command that ends before it began leaves nothing behind.
 * Writes are synchronous: the last line before a crash is the one that matters.
 */
export function logFile(path: string, now: () => Date): LogFile {
  let descriptor: number | undefined
  const write = (text: string) => {
    if (descriptor === undefined) {
      mkdirSync(dirname(path), {recursive: true, mode: 0o700})
      descriptor = openSync(path, 'a', 0o600)
    }
    writeSync(descriptor, text)
  }
  return {
    path,
    report(event) {
      const line = describeEvent(event)
      if (line !== undefined) write(`${now().toISOString()} ${line}\n`)
      if (event.type === 'phase-planned') {
        for (const {host, step, reason} of event.steps)
          write(`    ${host ?? 'cluster'}: ${step} (${reason})\n`)
      }
    },
    append: write,
    written: () => descriptor !== undefined,
    pause: () => Promise.resolve(),
  }
}
