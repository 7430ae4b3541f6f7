import {pauseQuietly} from '../base/waiting.ts'
import type {Log} from './log.ts'

/** Runs work by key: one at a time for each, and once more when the key was added meanwhile. */
export interface KeyedQueue {
  add(key: string): void
  /** Resolves when nothing is left to do. */
  idle(): Promise<void>
}

const FIRST_PAUSE_MS = 1_000
const MAX_PAUSE_MS = 60_000

/** Work that throws is tried again, after longer and longer pauses. */
export function keyedQueue(options: {
  readonly work: (key: string) => Promise<void>
  readonly log: Log
  readonly signal: AbortSignal
  readonly firstPauseMs?: number
}): KeyedQueue {
  const {work, log, signal, firstPauseMs = FIRST_PAUSE_MS} = options
  const running = new Map<string, Promise<void>>()
  const again = new Set<string>()
  const run = async (key: string): Promise<void> => {
    let pauseMs = firstPauseMs
    do {
      again.delete(key)
      try {
        await work(key)
        pauseMs = firstPauseMs
      } catch (error) {
        if (signal.aborted) break
        log('warn', 'to be tried again', {key, error: String(error), pauseMs})
        again.add(key)
        await pauseQuietly(pauseMs, signal)
        pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)
      }
    } while (again.has(key) && !signal.aborted)
    // In the same turn as the look above: a key that is added between the two would be lost.
    running.delete(key)
  }
  return {
    add(key) {
      if (signal.aborted) return
      again.add(key)
      if (running.has(key)) return
      running.set(key, run(key))
    },
    async idle() {
      while (running.size > 0) await Promise.all(running.values())
    },
  }
}
