import {z} from 'zod'
import {textAtMost, TooLargeError} from '../base/bounded.ts'

/** Of a token, an error, or a page of tags. */
const SMALL_MAX_BYTES = 1 << 20
const MESSAGE_MAX_LENGTH = 4096

const errorsSchema = z.object({
  errors: z.array(z.object({code: z.string(), message: z.string().default('')})).min(1),
})

/** The response of a registry, or of its token server, is not a success, or cannot be used. */
export class RegistryFault extends Error {
  readonly status: number
  /** Codes of the distribution specification: `MANIFEST_BLOB_UNKNOWN`. */
  readonly codes: readonly string[]

  constructor(status: number, message: string, codes: readonly string[] = []) {
    super(message.slice(0, MESSAGE_MAX_LENGTH))
    this.status = status
    this.codes = codes
  }
}

/** The fault that a response reports. Its message may repeat what was sent, credentials included. */
export async function faultOf(response: Response): Promise<RegistryFault> {
  const {errors = []} = errorsSchema.safeParse(parseJson((await smallText(response)) ?? '')).data ?? {}
  const reported =
    errors.length === 0
      ? response.statusText
      : errors.map(({code, message}) => `${code} ${message}`.trim()).join(', ')
  const codes = errors.map(({code}) => code)
  return new RegistryFault(response.status, `${response.status} ${reported}`.trimEnd(), codes)
}

/** A small JSON response, as a schema reads it. Throws RegistryFault for anything else. */
export async function jsonOf<T>(response: Response, schema: z.ZodType<T>, what: string): Promise<T> {
  const {data} = schema.safeParse(parseJson((await smallText(response)) ?? ''))
  if (data !== undefined) return data
  throw new RegistryFault(response.status, `${what} is invalid`)
}

/** Undefined: it is not small, and was not read to its end. */
async function smallText(response: Response): Promise<string | undefined> {
  try {
    return await textAtMost(response, 'the response', SMALL_MAX_BYTES)
  } catch (error) {
    if (error instanceof TooLargeError) return undefined
    throw error
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
