import {NETWORK_CODES, causesOf, systemCode} from '../../base/system-errors.ts'
import {CheckpointError} from '../errors.ts'
import {persist, type Patience} from '../../base/waiting.ts'
import type {StoreProblem} from './objects.ts'

const ATTEMPTS = 5

export interface Persistence {
  readonly location: string
  readonly problemOf: (error: unknown) => StoreProblem | undefined
  /** Between two attempts. */
  readonly pauseMs: number
  readonly patience?: Patience | undefined
}

/**
 * Sends a request to a store, again while the problem may pass, five times at most or as long as the patience lasts.
 * Throws CheckpointError STORE_UNREACHABLE, STORE_REFUSED; what is no error of the store is thrown as it is.
 */
export async function askStore<T>(
  attempt: () => Promise<T>,
  {location, problemOf, pauseMs, patience}: Persistence,
  signal: AbortSignal,
): Promise<T> {
  try {
    return await persist(attempt, {
      attempts: ATTEMPTS,
      intervalMs: pauseMs,
      signal,
      problemOf: (error) => {
        const problem = problemOf(error)
        return problem?.kind === 'passing' ? problem.words : undefined
      },
      ...patience,
    })
  } catch (error) {
    signal.throwIfAborted()
    const problem = error instanceof CheckpointError ? undefined : problemOf(error)
    throw problem === undefined ? error : storeError(location, problem)
  }
}

/** Without a cause: errors of clients hold requests, and these credentials. */
export function storeError(location: string, {kind, words}: StoreProblem): CheckpointError {
  if (kind === 'refused') {
    return new CheckpointError('STORE_REFUSED', `${location} refused: ${words}`, {
      suggestions: ['check the credentials of the store: kubectl -n clouder-system get secrets'],
    })
  }
  return new CheckpointError(
    'STORE_UNREACHABLE',
    kind === 'absent' ? `${location} does not exist: ${words}` : `${location} does not answer: ${words}`,
    {suggestions: ['check the store: kubectl get checkpointstores -o yaml']},
  )
}

/** Runs requests for an object; gives undefined where their error means that there is no such object. */
export const absentWhere =
  (isAbsent: (error: unknown) => boolean) =>
  async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work()
    } catch (error) {
      if (isAbsent(error)) return undefined
      throw error
    }
  }

/** Takes the values of credentials out of what a store said. */
export function withoutSecrets(
  words: string,
  credentials: Readonly<Record<string, string>> | undefined,
): string {
  return Object.values(credentials ?? {})
    .flatMap((value) => [value, encodeURIComponent(value)])
    .filter((value) => value.length > 3)
    .reduce((text, value) => text.replaceAll(value, '***'), words)
}

/** What goes wrong between here and any store: the code of a system call in the error or what caused it. */
export function networkProblem(error: unknown): StoreProblem | undefined {
  for (const cause of causesOf(error)) {
    const code = systemCode(cause)
    if (cause.name === 'TimeoutError') return {kind: 'passing', words: 'timed out'}
    if (code !== undefined && NETWORK_CODES.has(code)) return {kind: 'passing', words: code}
  }
  return undefined
}

/** Whether a request that was answered with this HTTP status may succeed later. */
export const isPassing = (status: number): boolean => status === 408 || status === 429 || status >= 500

/** What an HTTP status means; undefined: nothing that is known of every store. */
export function statusProblem(status: number | undefined, words: string): StoreProblem | undefined {
  if (status === undefined) return undefined
  if (isPassing(status)) return {kind: 'passing', words: `${status} ${words}`}
  if (status === 401 || status === 403) return {kind: 'refused', words: `${status} ${words}`}
  return undefined
}
