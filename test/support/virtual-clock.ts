import type {Clock} from '../../src/operator/leader-election.ts'

/** Rounds of the event loop after which whoever is not asleep waits for nothing but the clock. */
const QUIET_TURNS = 10

export interface VirtualClock extends Clock {
  /** Lets time pass, from one end of a pause to the next, until something holds; fails after `mostMs`. */
  until(what: string, holds: () => boolean, mostMs: number): Promise<void>
}

/** Time that passes only while a test waits for something, and then at once. */
export function virtualClock(): VirtualClock {
  let nowMs = 0
  const sleepers = new Set<{readonly atMs: number; readonly wake: () => void}>()
  return {
    now: () => nowMs,
    pause: (durationMs, signal) =>
      new Promise((resolve) => {
        const wake = (): void => {
          sleepers.delete(sleeper)
          signal.removeEventListener('abort', wake)
          resolve()
        }
        const sleeper = {atMs: nowMs + durationMs, wake}
        sleepers.add(sleeper)
        signal.addEventListener('abort', wake)
        if (signal.aborted) wake()
      }),
    async until(what, holds, mostMs) {
      const deadlineMs = nowMs + mostMs
      for (;;) {
        await turns(QUIET_TURNS)
        if (holds()) return
        const next = [...sleepers].sort((one, other) => one.atMs - other.atMs)[0]
        if (next === undefined) throw new Error(`waited for ${what}, and nobody waits for the clock`)
        if (next.atMs > deadlineMs) throw new Error(`waited ${mostMs} ms for ${what}`)
        nowMs = next.atMs
        next.wake()
      }
    },
  }
}

export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}
