import type {Transport} from './transport.ts'
import type {HttpAnswer} from './types.ts'

const REFUSED: readonly number[] = [401, 403]
const READYZ_TIMEOUT_MS = 5_000
/** So long a server that served this client before may refuse it even /readyz until that is believed. */
const DOUBT_MS = 30_000

/**
 * Judges refusals of one API server. A server that has just started authenticates and authorizes before it has read who
 * may do what: it refuses everybody but `system:masters`, for seconds, with many role bindings for minutes
 * (https://github.com/kubernetes/kubernetes/issues/121635). Such a refusal decides nothing.
 */
export class Refusals {
  readonly #transport: Transport
  #hasServed = false
  #doubtedSinceMs: number | undefined

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** The answer, marked when it is a refusal of a server that is not ready itself. */
  async judge(answer: HttpAnswer): Promise<HttpAnswer> {
    if (!REFUSED.includes(answer.status)) {
      if (answer.status < 400) this.#hasServed = true
      return answer
    }
    return (await this.#isStarting()) ? {...answer, isStarting: true} : answer
  }

  async #isStarting(): Promise<boolean> {
    const call = {method: 'GET', path: '/readyz', timeoutMs: READYZ_TIMEOUT_MS} as const
    const status = await this.#transport.send(call).then(
      (answer) => answer.status,
      () => {
        this.#transport.signal.throwIfAborted()
        return 503
      },
    )
    if (status !== 403) this.#doubtedSinceMs = undefined
    if (status !== 403) return status >= 500
    // Not everybody may read it, and of a server that has just started nobody.
    this.#doubtedSinceMs ??= performance.now()
    return this.#hasServed && performance.now() - this.#doubtedSinceMs < DOUBT_MS
  }
}
