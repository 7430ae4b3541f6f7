import {z} from 'zod'
import {KubernetesError, type KubernetesErrorCode} from './errors.ts'
import {ConflictError} from './conflict.ts'
import type {HttpAnswer} from './types.ts'

const statusSchema = z.looseObject({
  message: z.string().optional(),
  reason: z.string().optional(),
  details: z.unknown().optional(),
})

/** The body of an answer that accepts the call. Throws KubernetesError. */
export function accepted(answer: HttpAnswer, what: string): string {
  if (answer.status >= 200 && answer.status < 300) return answer.body
  throw apiError(answer, what)
}

/** The error of an answer that does not accept the call: a refusal, or one that may pass. `what`: `patch Node cp-1`. */
export function apiError(answer: HttpAnswer, what: string): KubernetesError {
  const {status, body, retryAfterMs, isStarting} = answer
  const {message, reason, details} = statusOf(body) ?? {}
  const text = `cannot ${what}: ${status} ${message ?? body.slice(0, 300)}`
  const more = {answer: {status, reason, details, retryAfterMs}}
  const code = isStarting === true ? 'API_UNAVAILABLE' : codeOf(status)
  return code === 'API_CONFLICT' ? new ConflictError(text, more) : new KubernetesError(code, text, more)
}

/**
 * What an HTTP status decides. 5xx decide nothing: an etcd that elects its leader is told as 500. The others that may
 * pass: https://kubernetes.io/docs/reference/using-api/api-concepts/
 */
export function codeOf(status: number): KubernetesErrorCode {
  if (status === 409) return 'API_CONFLICT'
  return status === 408 || status === 429 || status >= 500 ? 'API_UNAVAILABLE' : 'API_REJECTED'
}

/** What the server says of a failure; undefined: the body is none of its statuses. */
export function statusOf(body: string): z.output<typeof statusSchema> | undefined {
  try {
    return statusSchema.parse(JSON.parse(body))
  } catch {
    return undefined
  }
}
