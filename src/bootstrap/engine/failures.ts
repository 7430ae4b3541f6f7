import {AbortError} from '../../base/errors.ts'

/** Whatever was thrown, as an Error. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), {cause: thrown})
}

/** The AbortError for a run whose signal was aborted; the signal's own reason where it is one already. */
export function interruption(signal: AbortSignal): AbortError {
  const reason: unknown = signal.reason
  if (reason instanceof AbortError) return reason
  return new AbortError('INTERRUPTED', 'interrupted; everything done so far is kept', {
    cause: reason,
    suggestions: ['run the same command again: it continues where this run stopped'],
  })
}

/** Throws AbortError INTERRUPTED when the signal was aborted. */
export function throwIfInterrupted(signal: AbortSignal): void {
  if (signal.aborted) throw interruption(signal)
}
