import {coerce, gte} from 'semver'

/**
 * Whether a version is `oldest` or newer, by its numbers alone: `6.8.0-45-generic` is 6.8.0, `4.2` is 4.2.0. What has no
 * number in it is older than everything.
 */
export function isAtLeast(version: string, oldest: string): boolean {
  const [found, wanted] = [coerce(version), coerce(oldest)]
  return found !== null && wanted !== null && gte(found, wanted)
}
