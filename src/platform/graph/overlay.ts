import {isReference} from './references.ts'

type Mapping = Readonly<Record<string, unknown>>
const isMapping = (value: unknown): value is Mapping =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * A JSON Merge Patch (RFC 7396): mappings are merged key by key, `null` removes a key, and all else, lists too, is
 * replaced as a whole. So is a reference, which is one value.
 */
export function overlaid(base: unknown, patch: unknown): unknown {
  if (!isMapping(patch) || isReference(patch)) return patch
  const own: Mapping = isMapping(base) && !isReference(base) ? base : {}
  const result = new Map(Object.entries(own))
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) result.delete(key)
    else result.set(key, overlaid(own[key], value))
  }
  return Object.fromEntries(result)
}
