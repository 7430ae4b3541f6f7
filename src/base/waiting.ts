import {setTimeout as delay} from 'node:timers/promises'
import {isTransient, TimeoutError, type ClouderError} from './errors.ts'

/** As long as every poll may fail because an API, a machine or an engine is away before that ends a wait. */
const OUTAGE_MS = 5 * 60_000

export interface Observation<T> {
  /** The value waited for; undefined: not yet. */
  readonly value?: T
  /** What was seen, told when the wait ends in vain. */
  readonly seen: string
}

export interface WaitOptions<T> {
  /** What is waited for, as a noun phrase: `node worker-1 to be Ready`. */
  readonly what: string
  /** Its signal is aborted with the wait's own, and when the time is up. */
  readonly check: (signal: AbortSignal) => Promise<Observation<T>>
  readonly timeoutMs: number
  readonly intervalMs: number
  readonly signal: AbortSignal
  /** Told whenever something else is seen than before. */
  readonly onSeen?: (seen: string) => void
  /** Every poll may fail so long in a row. Default: five minutes. */
  readonly outageMs?: number
  /** Told once per outage, in the place of onSeen: what the first poll that failed failed with. */
  readonly onAway?: (problem: string) => void
  /** Told when a poll succeeds after an outage. */
  readonly onBack?: () => void
}

/**
 * Polls until `check` gives a value; what is away for some minutes does not end it. Throws TimeoutError with the last
 * thing seen, and with what the last poll failed with as its cause; the signal's reason; or what `check` threw.
 */
export async function waitFor<T>(options: WaitOptions<T>): Promise<T> {
  const {what, check, timeoutMs, intervalMs, signal, onSeen, outageMs = OUTAGE_MS, onBack} = options
  let told = 'nothing'
  const tell = (text: string): void => {
    if (text !== told) onSeen?.(text)
    told = text
  }
  const {onAway = tell} = options
  const deadline = performance.now() + timeoutMs
  const timeUp = AbortSignal.timeout(timeoutMs)
  let seen = 'nothing'
  let failure: ClouderError | undefined
  const tooLate = (): TimeoutError =>
    new TimeoutError(`waited ${Math.round(timeoutMs / 1000)} s for ${what}, last state: ${seen}`, {
      lastSeen: seen,
      ...(failure === undefined ? {} : {cause: failure, suggestions: failure.suggestions}),
    })
  let lastAnswerMs = performance.now()
  const outage = {isOn: false}
  for (;;) {
    signal.throwIfAborted()
    const observation = await check(AbortSignal.any([signal, timeUp])).then(
      (made) => {
        lastAnswerMs = performance.now()
        failure = undefined
        if (outage.isOn) onBack?.()
        outage.isOn = false
        return made
      },
      (error: unknown): Observation<T> => {
        signal.throwIfAborted()
        if (isTransient(error)) {
          failure = error
          if (timeUp.aborted) seen = error.message
        }
        if (timeUp.aborted) throw tooLate()
        if (!isTransient(error) || performance.now() - lastAnswerMs > outageMs) throw error
        // The words differ from poll to poll: refused, reset, 503. One line tells of all.
        if (!outage.isOn) onAway(error.message)
        outage.isOn = true
        return {seen: error.message}
      },
    )
    if (observation.value !== undefined) return observation.value
    if (!outage.isOn) tell(observation.seen)
    seen = observation.seen
    if (performance.now() + intervalMs > deadline) throw tooLate()
    await pause(intervalMs, signal)
  }
}

export interface RetryOptions {
  readonly timeoutMs: number
  readonly intervalMs: number
  readonly signal: AbortSignal
  /** Whether the error may pass by itself. */
  readonly again: (error: unknown) => boolean
}

/** Tries again on errors that `again` accepts, with a fixed pause; throws the last one. For connecting only. */
export async function retry<T>(
  attempt: (signal: AbortSignal) => Promise<T>,
  {timeoutMs, intervalMs, signal, again}: RetryOptions,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    signal.throwIfAborted()
    try {
      return await attempt(signal)
    } catch (error) {
      signal.throwIfAborted()
      if (!again(error) || performance.now() + intervalMs > deadline) throw error
    }
    await pause(intervalMs, signal)
  }
}

/** How long what is away is waited for although the attempts are used up. */
export interface Patience {
  /** From the first failure on. */
  readonly patienceMs: number
  /** Called before each further attempt with the problem, for a person. */
  readonly onWait: (problem: string) => void
}

export interface PersistOptions extends Partial<Patience> {
  /** Failures in a row without progress before the last one is thrown. */
  readonly attempts: number
  readonly intervalMs: number
  readonly signal: AbortSignal
  /** What may pass by itself, in words; undefined: nothing that may. */
  readonly problemOf: (error: unknown) => string | undefined
}

/** Tries again while the problem may pass, so many times in a row or as long as the patience lasts; throws the last error. */
export async function persist<T>(
  attempt: (signal: AbortSignal, progressed: () => void) => Promise<T>,
  {attempts, intervalMs, signal, problemOf, patienceMs = 0, onWait}: PersistOptions,
): Promise<T> {
  let failures = 0
  let patientUntilMs: number | undefined
  const progressed = (): void => {
    failures = 0
  }
  return retry((tried) => attempt(tried, progressed), {
    timeoutMs: Number.POSITIVE_INFINITY,
    intervalMs,
    signal,
    again: (error) => {
      const problem = problemOf(error)
      if (problem === undefined) return false
      failures += 1
      patientUntilMs ??= performance.now() + patienceMs
      if (failures >= attempts && performance.now() >= patientUntilMs) return false
      onWait?.(problem)
      return true
    },
  })
}

/** Throws the signal's reason, where the timer would wrap it in an error of its own. */
export async function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(durationMs, undefined, {signal})
  } catch (error) {
    signal.throwIfAborted()
    throw error
  }
}

/** Ends early, and without an error, when the signal is aborted: for loops that look at it themselves. */
export async function pauseQuietly(durationMs: number, signal: AbortSignal): Promise<void> {
  await pause(durationMs, signal).catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
}

/** Whether an aborted signal is one of AbortSignal.timeout, and nobody stopped anything. */
export function isTimeUp({reason}: AbortSignal): boolean {
  return reason instanceof DOMException && reason.code === DOMException.TIMEOUT_ERR
}
