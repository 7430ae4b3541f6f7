/** Code of a failed system call, `ENOENT`; undefined for any other error. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** Whether the file of a failed system call does not exist. */
export const isMissing = (error: unknown): boolean => systemCode(error) === 'ENOENT'

/** For `.catch`: undefined where the file does not exist; throws any other error again. */
export function unlessMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error
}

/** Codes of a connection that broke, or of a server that cannot be reached now, by Node.js and its fetch. */
export const NETWORK_CODES: ReadonlySet<string> = new Set([
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
  'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
])

/** An error and what caused it, outermost first; of several addresses that failed, the first. */
export function* causesOf(error: unknown): Generator<Error> {
  for (let cause = error; cause instanceof Error;) {
    yield cause
    cause = cause instanceof AggregateError ? cause.errors[0] : cause.cause
  }
}

/** The first code along the causes. */
export function firstCodeOf(error: unknown): string | undefined {
  for (const cause of causesOf(error)) {
    const code = systemCode(cause)
    if (code !== undefined) return code
  }
  return undefined
}
