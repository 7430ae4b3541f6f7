import {type Finding, type Path, valueAt} from './problems.ts'

interface Renamed {
  /** `*`: every element of a list. */
  readonly at: readonly string[]
  readonly from: string
  readonly to: string
  /** What a value of the old name is under the new one; absent: the same. */
  readonly convert?: (value: unknown) => unknown
  readonly hint?: string
}

const STORE = ['spec', 'checkpoint', 'store'] as const
const ENCRYPTION = [...STORE, 'encryption'] as const

/** Fields by the names that they had before, https://github.com/kubernetes/community/blob/main/contributors/devel/sig-architecture/api-conventions.md */
const RENAMED: readonly Renamed[] = [
  {at: [...ENCRYPTION, 'awsKms'], from: 'keyId', to: 'keyID'},
  {at: [...ENCRYPTION, 'azureKeyVault'], from: 'keyId', to: 'keyID'},
  {
    at: [...STORE, 'retention'],
    from: 'maxAge',
    to: 'maxAgeSeconds',
    convert: secondsOf,
    hint: ', a number of seconds',
  },
]

/** Puts what stands under an old name under the new one, in place. What a user wrote is a finding; what we recorded is not. */
export function settleRenamed(document: unknown): readonly Finding[] {
  return RENAMED.flatMap(({at, from, to, convert = same, hint = ''}) =>
    placesOf(document, at).flatMap((path): readonly Finding[] => {
      const mapping = valueAt(document, path)
      if (typeof mapping !== 'object' || mapping === null || !Object.hasOwn(mapping, from)) return []
      const value: unknown = Reflect.get(mapping, from)
      Reflect.deleteProperty(mapping, from)
      if (!Object.hasOwn(mapping, to)) Reflect.set(mapping, to, convert(value))
      return [{path: [...path, from], value: undefined, problem: `was renamed to ${to}${hint}`}]
    }),
  )
}

const same = (value: unknown): unknown => value

function placesOf(document: unknown, at: readonly string[]): readonly Path[] {
  return at.reduce<readonly Path[]>(
    (paths, key) =>
      paths.flatMap((path) => {
        if (key !== '*') return [[...path, key]]
        const list = valueAt(document, path)
        return Array.isArray(list) ? list.map((_, index) => [...path, index]) : []
      }),
    [[]],
  )
}

function secondsOf(value: unknown): unknown {
  const [, digits, unit] = /^(\d{1,6})([smhd])$/.exec(String(value)) ?? []
  return Number(digits) * (unit === 's' ? 1 : unit === 'm' ? 60 : unit === 'h' ? 3600 : 86_400)
}
