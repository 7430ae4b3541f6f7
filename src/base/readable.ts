import type {z} from 'zod'

/** It goes into events and statuses. */
const MAX_WORDS = 600

/** What a schema does not take in an object: `spec.ports.0: expected number to be <=65535`. */
export const wordsOfProblem = (error: z.ZodError): string =>
  error.issues
    .map(({path, message}) => `${path.map(String).join('.') || 'the object'}: ${message}`)
    .join('; ')
    .slice(0, MAX_WORDS)

/** Those objects that a schema takes. One that it does not take is told, and the others are read all the same. */
export function readable<O, T>(
  objects: readonly O[],
  schema: z.ZodType<T>,
  onUnreadable: (object: O, problem: string) => void,
): readonly T[] {
  return objects.flatMap((object) => {
    const {success, data, error} = schema.safeParse(object)
    if (success) return [data]
    onUnreadable(object, wordsOfProblem(error))
    return []
  })
}
