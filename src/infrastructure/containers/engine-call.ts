import {engineFailed, statusOf} from './engine-errors.ts'

/** Calls the engine; an answer whose status is in `fine` is no failure and gives undefined. Throws ENGINE_FAILED. */
export interface Attempt {
  <T>(what: string, call: () => Promise<T>): Promise<T>
  <T>(what: string, call: () => Promise<T>, fine: readonly number[]): Promise<T | undefined>
}

/** Calls that end with a signal at the latest: the client library takes one for few of them, and an engine can hang. */
export function attemptUntil(signal: AbortSignal): Attempt {
  async function attempt<T>(what: string, call: () => Promise<T>): Promise<T>
  async function attempt<T>(
    what: string,
    call: () => Promise<T>,
    fine: readonly number[],
  ): Promise<T | undefined>
  async function attempt<T>(
    what: string,
    call: () => Promise<T>,
    fine: readonly number[] = [],
  ): Promise<T | undefined> {
    try {
      return await untilAborted(call, signal)
    } catch (error) {
      signal.throwIfAborted()
      const status = statusOf(error)
      if (status !== undefined && fine.includes(status)) return undefined
      throw engineFailed(what, error)
    }
  }
  return attempt
}

/** Leaves a call to itself when the signal aborts first. */
export function untilAborted<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () =>
      reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)))
    if (signal.aborted) {
      abort()
      return
    }
    signal.addEventListener('abort', abort, {once: true})
    call()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', abort))
  })
}
