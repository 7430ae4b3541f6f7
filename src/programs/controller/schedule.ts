import {Cron} from 'croner'

export interface Due {
  /** The newest time that has come since; undefined: none. Those that were missed before it are not made up for. */
  readonly dueMs: number | undefined
  readonly nextMs: number | undefined
}

/** What a cron line of five fields asks for, since it was last followed. Throws Error for one that is not valid. */
export function dueBy(line: string, timeZone: string | undefined, lastMs: number, nowMs: number): Due {
  const cron = new Cron(line, {mode: '5-part', timezone: timeZone ?? 'UTC'})
  const first = cron.nextRun(new Date(lastMs))?.getTime()
  // Strictly before the reference: a time that is just now counts.
  const newest = cron
    .previousRuns(1, new Date(nowMs + 1000))
    .at(0)
    ?.getTime()
  const isDue = first !== undefined && first <= nowMs
  const nextMs = cron.nextRun(new Date(nowMs))?.getTime()
  return {
    dueMs: isDue ? (newest !== undefined && newest > lastMs && newest <= nowMs ? newest : first) : undefined,
    nextMs,
  }
}
