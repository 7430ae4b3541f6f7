import {setTimeout as delay} from 'node:timers/promises'
import {TimeoutError} from './errors.ts'

export interface Observation<T> {
  /** The value waited for; undefined: not yet. */
  readonly value?: T
  /** What was seen, told when the wait ends in vain. */
  readonly seen: string
}

export interface WaitOptions<T> {
  /** What is waited for, as a noun phrase: `node worker-1 to be Ready`. */
  readonly what: string
  readonly check: (signal: AbortSignal) => Promise<Observation<T>>
  readonly timeoutMs: number
  readonly intervalMs: number
  readonly signal: AbortSignal
  readonly onSeen?: (seen: string) => void
}

/** Polls until `check` gives a value. Throws TimeoutError with the last thing seen, or the signal's reason. */
export async function waitFor<T>(options: WaitOptions<T>): Promise<T> {
  const deadline = performance.now() + options.timeoutMs
  let seen = 'nothing'
  for (;;) {
    options.signal.throwIfAborted()
    const observation = await options.check(options.signal)
    if (observation.value !== undefined) return observation.value
    if (observation.seen !== seen) options.onSeen?.(observation.seen)
    seen = observation.seen
    if (performance.now() + options.intervalMs > deadline) {
      throw new TimeoutError(
        `waited ${Math.round(options.timeoutMs / 1000)} s for ${options.what}, last seen: ${seen}`,
        {
          lastSeen: seen,
        },
      )
    }
    await delay(options.intervalMs, undefined, {signal: options.signal})
  }
}

/** Tries again on errors that `again` accepts, with a fixed pause; throws the last one. For connecting only. */
export async function retry<T>(
  attempt: (signal: AbortSignal) => Promise<T>,
  options: {timeoutMs: number; intervalMs: number; signal: AbortSignal; again: (error: unknown) => boolean},
): Promise<T> {
  const deadline = performance.now() + options.timeoutMs
  for (;;) {
    options.signal.throwIfAborted()
    try {
      return await attempt(options.signal)
    } catch (error) {
      if (!options.again(error) || performance.now() + options.intervalMs > deadline) throw error
    }
    await delay(options.intervalMs, undefined, {signal: options.signal})
  }
}
