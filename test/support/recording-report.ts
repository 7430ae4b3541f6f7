import type {Report, RunEvent} from '../../src/base/run-events.ts'

export interface RecordingReport {
  readonly report: Report
  readonly events: readonly RunEvent[]
  /** Events of one type, in order. */
  of<Type extends RunEvent['type']>(type: Type): readonly Extract<RunEvent, {type: Type}>[]
}

/** A Report that keeps everything it is told. */
export function recordingReport(): RecordingReport {
  const events: RunEvent[] = []
  return {
    report: (event) => void events.push(event),
    events,
    of: <Type extends RunEvent['type']>(type: Type) =>
      events.filter((event): event is Extract<RunEvent, {type: Type}> => event.type === type),
  }
}
