import {z} from 'zod'

/** A digest of a manifest or a blob, as statuses hold it. */
export const digestSchema = z.templateLiteral(['sha256:', z.string().regex(/^[0-9a-f]{64}$/)])
