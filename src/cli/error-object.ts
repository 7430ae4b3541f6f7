import {ClouderError} from '../base/errors.ts'
import {causesOf, exitCodeOf, isUsageError, messageOf, renderingOf} from './error-text.ts'

/** An error for `--json`: everything a program may want to branch on, with the chain of causes. */
export function errorObject(error: unknown): Record<string, unknown> {
  return {
    code: codeOf(error),
    message: messageOf(error),
    exitCode: exitCodeOf(error),
    suggestions: error instanceof ClouderError ? error.suggestions : [],
    ...detailsOf(error),
    causes: causesOf(error).map((cause) => ({
      code: codeOf(cause),
      message: messageOf(cause),
      ...detailsOf(cause),
    })),
    ...(error instanceof ClouderError ? {ref: error.ref} : {}),
  }
}

function codeOf(error: unknown): string {
  if (error instanceof ClouderError) return error.code
  if (isUsageError(error)) return 'USAGE'
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code
  return 'UNEXPECTED'
}

function detailsOf(error: unknown): Record<string, unknown> {
  const {connection, failures, ...details} = renderingOf(error)
  return {
    ...details,
    ...connection,
    ...(failures === undefined
      ? {}
      : {
          failures: failures.map(({host, phase, step, error: failure}) => ({
            host,
            phase,
            step,
            ...errorObject(failure),
          })),
        }),
  }
}
