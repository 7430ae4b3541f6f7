import {NETWORK_CODES, firstCodeOf} from '../base/system-errors.ts'
import {readAtMost, TooLargeError} from '../base/bounded.ts'
import {persist} from '../base/waiting.ts'
import {BundleError} from './errors.ts'

export interface HttpOptions {
  /** Pause between two tries of one request. */
  readonly retryIntervalMs: number
  /** Tries in a row without one new byte before giving up. */
  readonly attempts: number
  /** A connection that brings nothing for so long is dropped and tried again. */
  readonly stallMs: number
}

export const httpDefaults: HttpOptions = {retryIntervalMs: 2_000, attempts: 8, stallMs: 30_000}

export type Headers = Readonly<Record<string, string>>

/** Worth another try: the connection broke, or the server said that it cannot answer now. */
export class PassingError extends Error {}

/** The URL as messages and the lock file show it: no credentials, no query (redirects sign there). */
export function shownUrl(url: string): string {
  const parsed = new URL(url)
  return `${parsed.origin}${parsed.pathname}`
}

/**
 * GET with redirects followed; the answer's body is not read yet. fetch drops the Authorization header when a redirect
 * leaves the origin. Throws PassingError for what may pass, BundleError for what will not.
 */
export async function openUrl(url: string, headers: Headers, signal: AbortSignal): Promise<Response> {
  let response: Response
  try {
    response = await fetch(url, {
      // Without `identity` a server may compress, and the digest is over what was published.
      headers: {'accept-encoding': 'identity', 'user-agent': 'clouder', ...headers},
      signal,
      redirect: 'follow',
    })
  } catch (error) {
    signal.throwIfAborted()
    throw networkError(url, error)
  }
  if (url.startsWith('https:') && response.url.startsWith('http:')) {
    await response.body?.cancel()
    throw new BundleError(
      'BUILD_FAILED',
      `${shownUrl(url)} redirects to plain http at ${shownUrl(response.url)}`,
    )
  }
  if (response.status >= 500 || response.status === 429 || response.status === 408) {
    await response.body?.cancel()
    throw new PassingError(`${shownUrl(url)} answered ${response.status}`)
  }
  return response
}

/** Reads the body in chunks; a broken connection is a PassingError. */
export async function* bodyOf(
  url: string,
  response: Response,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  if (response.body === null) return
  try {
    for await (const chunk of response.body) yield chunk
  } catch (error) {
    signal.throwIfAborted()
    throw networkError(url, error)
  }
}

/** Runs `attempt` until it succeeds, at most `attempts` times in a row without progress. `what` names it in errors. */
export async function withRetries<T>(
  what: string,
  attempt: (signal: AbortSignal, progressed: () => void) => Promise<T>,
  options: HttpOptions,
  signal: AbortSignal,
): Promise<T> {
  const once = (tried: AbortSignal, progressed: () => void) =>
    watchStall(what, options.stallMs, tried, (watched, alive) =>
      attempt(watched, () => {
        alive()
        progressed()
      }),
    )
  try {
    return await persist(once, {
      attempts: options.attempts,
      intervalMs: options.retryIntervalMs,
      signal,
      problemOf: (error) => (error instanceof PassingError ? error.message : undefined),
    })
  } catch (error) {
    if (!(error instanceof PassingError)) throw error
    throw new BundleError('SOURCE_UNREACHABLE', error.message, {
      cause: error.cause ?? error,
      suggestions: [
        'run the same command again: it resumes the download',
        'clouder bundle build --source go',
      ],
    })
  }
}

/** Aborts `attempt` when it has not been alive for `stallMs`; that abort is a PassingError. */
async function watchStall<T>(
  what: string,
  stallMs: number,
  signal: AbortSignal,
  attempt: (signal: AbortSignal, alive: () => void) => Promise<T>,
): Promise<T> {
  const stalled = new AbortController()
  let lastAlive = performance.now()
  const watch = setInterval(
    () => {
      if (performance.now() - lastAlive < stallMs) return
      stalled.abort(new PassingError(`${what} received no data for ${stallMs / 1000} s`))
    },
    Math.min(1_000, stallMs / 4),
  )
  watch.unref()
  try {
    return await attempt(AbortSignal.any([signal, stalled.signal]), () => (lastAlive = performance.now()))
  } finally {
    clearInterval(watch)
  }
}

/** Small text (a checksum file, a token, a manifest) as bytes, at most `maxBytes`. */
export async function readSmall(
  url: string,
  response: Response,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  try {
    return await readAtMost(bodyOf(url, response, signal), shownUrl(url), maxBytes)
  } catch (error) {
    throw error instanceof TooLargeError ? new BundleError('BUILD_FAILED', error.message) : error
  }
}

/** Throws unless the answer is one of the `wanted` statuses (200 by default). */
export async function expectStatus(
  url: string,
  response: Response,
  wanted: readonly number[] = [200],
): Promise<void> {
  if (wanted.includes(response.status)) return
  await response.body?.cancel()
  throw new BundleError(
    'BUILD_FAILED',
    `${shownUrl(url)} answered ${response.status} ${response.statusText}`.trimEnd(),
  )
}

function networkError(url: string, error: unknown): Error {
  const code = firstCodeOf(error)
  const message = `${shownUrl(url)} cannot be read${code === undefined ? '' : `: ${code}`}`
  // undici says only `terminated` when a body ends early without a socket error.
  const terminated = error instanceof TypeError && error.message === 'terminated'
  // A name that does not exist: without internet, another source is next.
  if (terminated || (code !== undefined && code !== 'ENOTFOUND' && NETWORK_CODES.has(code)))
    return new PassingError(message, {cause: error})
  return new BundleError('SOURCE_UNREACHABLE', message, {
    cause: error,
    suggestions: ['clouder bundle build --source go'],
  })
}
