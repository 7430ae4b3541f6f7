import {ClouderError, type ErrorDetails} from '../base/errors.ts'

/** How an API server answered a call that it did not accept: the HTTP status, and what its Status object holds. */
export interface ApiAnswer {
  readonly status: number
  readonly reason?: string | undefined
  readonly details?: unknown
  /** What the server asks to wait before the same call is sent again. */
  readonly retryAfterMs?: number | undefined
}

const TRANSIENT: readonly string[] = ['API_UNREACHABLE', 'API_UNAVAILABLE', 'API_CONFLICT']

export type KubernetesErrorCode =
  | 'API_UNREACHABLE'
  | 'API_UNAVAILABLE'
  | 'API_CONFLICT'
  | 'API_REJECTED'
  | 'API_LOGIN_FAILED'
  | 'NOT_READY'
  | 'SMOKE_TEST_FAILED'
  | 'UNHEALTHY'

/** The cluster refused a change or did not become what it should. Exit code 8. */
export class KubernetesError extends ClouderError {
  readonly exitCode = 8
  /** Undefined: the API server gave no answer, or it is not about one. */
  readonly answer: ApiAnswer | undefined

  constructor(
    code: KubernetesErrorCode,
    message: string,
    details: ErrorDetails & {answer?: ApiAnswer | undefined} = {},
  ) {
    super(code, message, details)
    this.answer = details.answer
  }

  override get isTransient(): boolean {
    return TRANSIENT.includes(this.code)
  }
}
