import type {RunEvent} from '../../engine/types.ts'
import {formatDuration} from '../duration.ts'
import type {Reporter} from './reporter.ts'

export interface LinesOptions {
  readonly write: (text: string) => void
  /** Milliseconds, monotonic. */
  readonly now: () => number
}

/** Plain lines for logs and pipes: one per event, with the time since the start. */
export function linesReporter({write, now}: LinesOptions): Reporter {
  const startedAt = now()
  const progressAt = new Map<string, number>()
  return {
    report(event) {
      const key = progressKey(event)
      if (key !== undefined) {
        // A percentage that changes ten times a second is for a terminal; a log gets it every two seconds.
        if (now() - (progressAt.get(key) ?? -Infinity) < 2000) return
        progressAt.set(key, now())
      }
      const line = describeEvent(event)
      if (line === undefined) return
      const elapsed = `${((now() - startedAt) / 1000).toFixed(1)}s`.padStart(7)
      write(`[${elapsed}] ${line}\n`)
    },
    pause: () => Promise.resolve(),
  }
}

function progressKey(event: RunEvent): string | undefined {
  if (event.type === 'task-progress') return event.task
  if (event.type === 'step-progress') return `${event.phase}/${event.host ?? ''}/${event.step}`
  return undefined
}

/** An event as one line without time; undefined: nothing a reader needs. */
export function describeEvent(event: RunEvent): string | undefined {
  switch (event.type) {
    case 'phase-started':
      return columns(event.phase, undefined, event.title)
    case 'phase-planned':
      return columns(event.phase, undefined, plannedText(event.steps.length))
    case 'step-started':
      return columns(event.phase, event.host, `${event.step} (${event.reason})`)
    case 'step-progress':
      return columns(event.phase, event.host, `${event.step}: ${event.text}`)
    case 'step-done':
      return columns(event.phase, event.host, `done: ${event.step}, ${formatDuration(event.durationMs)}`)
    case 'step-failed':
      return columns(event.phase, event.host, `FAILED: ${event.step}: ${event.message}`)
    case 'phase-done':
      return event.steps === 0
        ? undefined
        : columns(
            event.phase,
            undefined,
            `done: ${stepsText(event.steps)}, ${formatDuration(event.durationMs)}`,
          )
    case 'phase-failed':
      return columns(event.phase, undefined, `FAILED after ${formatDuration(event.durationMs)}`)
    case 'task-started':
      return columns(event.task, undefined, event.title)
    case 'task-progress':
      return columns(event.task, undefined, event.text)
    case 'task-done':
      return columns(
        event.task,
        undefined,
        `done${event.text === undefined ? '' : `: ${event.text}`}, ${formatDuration(event.durationMs)}`,
      )
    case 'task-failed':
      return columns(event.task, undefined, `FAILED: ${event.message}`)
    case 'note':
      return columns(event.level === 'warning' ? 'warning' : 'note', event.host, event.text)
  }
}

export function stepsText(count: number): string {
  return `${count} ${count === 1 ? 'step' : 'steps'}`
}

function plannedText(count: number): string {
  return count === 0 ? 'already done' : `${stepsText(count)} to do`
}

function columns(phase: string, host: string | undefined, text: string): string {
  return [phase, ...(host === undefined ? [] : [host]), text].join('  ')
}
