import type {RunEvent} from '../../base/run-events.ts'

/** Somebody who is told every event of a run. */
export interface Reporter {
  report(event: RunEvent): void
  /** Leaves the terminal to others, for a question or the result; the next event takes it again. */
  pause(): Promise<void>
}

/** One report function for many reporters; what it is given is redacted before anybody sees it. */
export function reportTo(
  reporters: readonly Reporter[],
  redact: (text: string) => string,
): (event: RunEvent) => void {
  return (event) => {
    const safe = redactEvent(event, redact)
    for (const reporter of reporters) reporter.report(safe)
  }
}

function redactEvent(event: RunEvent, redact: (text: string) => string): RunEvent {
  if (event.type === 'phase-planned') {
    const steps = event.steps.map((step) => ({...step, step: redact(step.step), reason: redact(step.reason)}))
    return {...event, steps}
  }
  if (event.type === 'tasks-planned') {
    return {...event, tasks: event.tasks.map(({task, title}) => ({task: redact(task), title: redact(title)}))}
  }
  const texts = Object.entries(event).map(([key, value]: [string, unknown]): [string, unknown] => [
    key,
    typeof value === 'string' && key !== 'type' ? redact(value) : value,
  ])
  // Only the text of values changed, so it is still the same kind of event.
  return Object.fromEntries(texts) as RunEvent
}
