import {CheckpointError} from '../errors.ts'
import {retry} from '../../base/waiting.ts'
import type {StoreProblem} from './objects.ts'

const ATTEMPTS = 5
/** The attempts bound it; the time does only when each of them hangs. */
const TIMEOUT_MS = 3_600_000

/** How long a store that is away is waited for; without, about as long as five attempts take. */
export interface Patience {
  /** From the first attempt that failed on. */
  readonly patienceMs: number
  /** Told before each further attempt what the store's trouble is, for a person. */
  readonly onWait: (words: string) => void
}

export interface Persistence {
  readonly location: string
  readonly problemOf: (error: unknown) => StoreProblem | undefined
  /** Between two attempts. */
  readonly pauseMs: number
  readonly patience?: Patience | undefined
}

/**
 * Does something with a store, again when the trouble may pass, five times at most or as long as the patience lasts.
 * Throws CheckpointError STORE_UNREACHABLE, STORE_REFUSED; what is no error of the store is thrown as it is.
 */
export async function persist<T>(
  attempt: () => Promise<T>,
  {location, problemOf, pauseMs, patience}: Persistence,
  signal: AbortSignal,
): Promise<T> {
  let failed = 0
  let patientUntilMs: number | undefined
  try {
    return await retry(attempt, {
      timeoutMs: TIMEOUT_MS,
      intervalMs: pauseMs,
      signal,
      again: (error) => {
        const problem = problemOf(error)
        if (problem?.kind !== 'passing') return false
        failed += 1
        patientUntilMs ??= performance.now() + (patience?.patienceMs ?? 0)
        if (failed >= ATTEMPTS && performance.now() >= patientUntilMs) return false
        patience?.onWait(problem.words)
        return true
      },
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
      suggestions: ['look at the credentials of the store: kubectl -n clouder-system get secrets'],
    })
  }
  return new CheckpointError(
    'STORE_UNREACHABLE',
    kind === 'absent' ? `${location} is not there: ${words}` : `${location} does not answer: ${words}`,
    {suggestions: ['look at the store: kubectl get checkpointstores -o yaml']},
  )
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

const PASSING_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_SOCKET',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
])

/** What goes wrong between here and any store: the code of a system call in the error or what caused it. */
export function networkProblem(error: unknown): StoreProblem | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined
    if (cause.name === 'TimeoutError') return {kind: 'passing', words: 'no answer in time'}
    if (code !== undefined && PASSING_CODES.has(code)) return {kind: 'passing', words: code}
    // Of several addresses all failed.
    if (cause instanceof AggregateError) return networkProblem(cause.errors[0])
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
