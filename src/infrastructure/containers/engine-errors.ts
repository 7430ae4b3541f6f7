import {z} from 'zod'
import {InfrastructureError} from '../errors.ts'

const answerSchema = z.looseObject({statusCode: z.number()})
const reasonSchema = z.looseObject({json: z.looseObject({message: z.string()})})

/** HTTP status of the engine's answer; undefined when there was none. */
export function statusOf(error: unknown): number | undefined {
  const parsed = answerSchema.safeParse(error)
  return parsed.success ? parsed.data.statusCode : undefined
}

/** ENGINE_FAILED with what the engine said; an error that is already ours, and an abort, pass through. */
export function engineFailed(what: string, error: unknown): Error {
  if (error instanceof InfrastructureError) return error
  if (error instanceof Error && error.name === 'AbortError') return error
  const reason = reasonSchema.safeParse(error)
  const text = reason.success
    ? reason.data.json.message
    : error instanceof Error
      ? error.message
      : String(error)
  return new InfrastructureError('ENGINE_FAILED', `${what}: ${text.trim()}`, {
    cause: error,
    suggestions: ['check the state of the engine: docker info'],
  })
}
