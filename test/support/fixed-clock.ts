export interface FixedClock {
  /** Milliseconds since the epoch. */
  readonly now: () => number
  advance(byMs: number): void
}

/** A clock that stands still until it is told to go on. */
export function fixedClock(start = '2026-11-21T09:00:00.000Z'): FixedClock {
  let nowMs = Date.parse(start)
  return {
    now: () => nowMs,
    advance: (byMs) => {
      nowMs += byMs
    },
  }
}
