import type {RunEvent} from '../../base/run-events.ts'
import {formatDuration} from '../duration.ts'
import {openWork} from './open-work.ts'
import type {Reporter} from './reporter.ts'

/** A log that says nothing for longer looks like a run that hangs; many CI systems end such a run. */
const QUIET_MS = 30_000

export interface LinesOptions {
  readonly write: (text: string) => void
  /** Milliseconds, monotonic. */
  readonly now: () => number
  /** Calls later, unless what it returns is called before. Default: a timer that keeps no process alive. */
  readonly after?: (delayMs: number, call: () => void) => () => void
}

/** Plain lines for logs and pipes: one per event, with the time since the start, and what still runs when none comes. */
export function linesReporter({write, now, after = timer}: LinesOptions): Reporter {
  const startedAt = now()
  const progressAt = new Map<string, number>()
  const open = openWork(now)
  let cancel = (): void => undefined
  const writeLine = (line: string): void => {
    const elapsed = `${((now() - startedAt) / 1000).toFixed(1)}s`.padStart(7)
    write(`[${elapsed}] ${line}\n`)
  }
  const expectLine = (): void => {
    cancel()
    cancel = after(QUIET_MS, () => {
      for (const line of open.lines()) writeLine(line)
      expectLine()
    })
  }
  return {
    report(event) {
      open.follow(event)
      const key = progressKey(event)
      if (key !== undefined) {
        // A percentage that changes ten times a second is for a terminal; a log gets it every two seconds.
        if (now() - (progressAt.get(key) ?? -Infinity) < 2000) return
        progressAt.set(key, now())
      }
      const line = describeEvent(event)
      if (line === undefined) return
      writeLine(line)
      expectLine()
    },
    pause: () => {
      cancel()
      return Promise.resolve()
    },
  }
}

function timer(delayMs: number, call: () => void): () => void {
  const pending = setTimeout(call, delayMs).unref()
  return () => clearTimeout(pending)
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
      return event.steps.length === 0
        ? undefined
        : columns(event.phase, undefined, `${stepsText(event.steps.length)} to do`)
    case 'step-started':
      return columns(event.phase, event.host, `${event.step} (${event.reason})`)
    case 'step-progress':
      return columns(event.phase, event.host, `${event.step}: ${event.text}`)
    case 'step-done':
      return columns(event.phase, event.host, `done: ${event.step}, ${formatDuration(event.durationMs)}`)
    case 'step-failed':
      return columns(event.phase, event.host, `FAILED: ${event.step}: ${event.message}`)
    case 'phase-done':
      return columns(event.phase, undefined, phaseDoneText(event))
    case 'phase-failed':
      return columns(event.phase, undefined, `FAILED after ${formatDuration(event.durationMs)}`)
    case 'tasks-planned':
      return columns('tasks', undefined, `${event.tasks.length} to do`)
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
      return columns(event.level === 'warning' ? 'warning' : 'note', noteHost(event), event.text)
  }
}

export function stepsText(count: number): string {
  return `${count} ${count === 1 ? 'step' : 'steps'}`
}

type PhaseDone = Extract<RunEvent, {type: 'phase-done'}>

function phaseDoneText(event: PhaseDone): string {
  if (event.steps === 0) return metText(event)
  const steps = stepsText(event.steps)
  if (event.dryRun === true) return `planned: ${steps}`
  return `done: ${steps}, ${formatDuration(event.durationMs)}`
}

/** Of a phase without steps: the preflight never has any. */
export function metText({phase}: PhaseDone): string {
  return phase === 'preflight' ? 'checks passed' : 'already done'
}

/** The host before a note, unless the note begins with it. */
export function noteHost({host, text}: Extract<RunEvent, {type: 'note'}>): string | undefined {
  return host !== undefined && text.startsWith(`${host} `) ? undefined : host
}

function columns(phase: string, host: string | undefined, text: string): string {
  return [phase, ...(host === undefined ? [] : [host]), text].join('  ')
}
