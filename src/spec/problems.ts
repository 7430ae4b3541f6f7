import type {z} from 'zod'
import type {ConfigProblem} from '../base/errors.ts'

export type Path = readonly (string | number)[]

/** What is wrong with one value; `problem` reads on from the value: `"x" is not a CIDR`. */
export interface Finding {
  readonly path: Path
  readonly value: unknown
  readonly problem: string
  /** Other places of the document that the finding rests on. */
  readonly reads?: readonly Path[]
}

/** `spec.workers[0].labels["example.org/disk"]`. */
export function formatPath(path: Path): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`
    if (!/^[A-Za-z_$][\w-]*$/.test(key)) return `${text}[${JSON.stringify(key)}]`
    return text === '' ? key : `${text}.${key}`
  }, '')
}

export function toProblem({path, value, problem}: Finding): ConfigProblem {
  const hidden = path.some((key) => typeof key === 'string' && isSecretName(key))
  return {path: formatPath(path), value: hidden ? '(hidden)' : shown(value), problem}
}

/** What the schema found, in our words. `keysAt` gives the keys that are known at a path. */
export function findingsOf(
  error: z.ZodError,
  document: unknown,
  keysAt: (path: Path) => readonly string[],
): readonly Finding[] {
  return error.issues.flatMap(intended).flatMap((issue): readonly Finding[] => {
    const path = issue.path.filter((key) => typeof key !== 'symbol')
    const value = valueAt(document, path)
    if (issue.code !== 'unrecognized_keys') return [{path, value, problem: problemOf(issue, value)}]
    const known = keysAt(path)
    return issue.keys.map((key) => ({
      path: [...path, key],
      // Under a key that is unknown anything could stand, a password too.
      value: undefined,
      problem: unknownKey(key, known),
    }))
  })
}

/** The value at a path, undefined when there is none. */
export function valueAt(document: unknown, path: Path): unknown {
  return path.reduce<unknown>((node, key) => {
    if (typeof node !== 'object' || node === null || !Object.hasOwn(node, key)) return undefined
    const child: unknown = Reflect.get(node, key)
    return child
  }, document)
}

type Issue = z.core.$ZodIssue

/** Of a union what is wrong with the one member whose keys were written, if it is one. */
function intended(issue: Issue): readonly Issue[] {
  if (issue.code !== 'invalid_union') return [issue]
  const close = issue.errors.filter((issues) => issues.every(({path}) => path.length > 0))
  const [only] = close
  if (only === undefined || close.length > 1) return [issue]
  return only.map((inner) => ({...inner, path: [...issue.path, ...inner.path]}))
}

function problemOf(issue: Issue, value: unknown): string {
  switch (issue.code) {
    case 'invalid_type':
      return value === undefined
        ? 'is required'
        : `${isOf(issue.expected)}${quotingHint(issue.expected, value)}`
    case 'invalid_value':
      if (value === undefined) return 'is required'
      return issue.values.length === 1
        ? `is not ${JSON.stringify(issue.values[0])}`
        : `is not one of ${issue.values.map(String).join(', ')}${suggestion(value, issue.values.map(String))}`
    case 'too_big':
      return `is more than ${issue.maximum}`
    case 'too_small':
      return issue.origin === 'number' ? `is less than ${issue.minimum}` : 'is empty'
    case 'invalid_union':
      return issue.message
    case 'invalid_format':
      return issue.format === 'url' ? 'is not a URL' : `is not in the form of ${issue.format}`
    default:
      return `is not valid: ${issue.message}`
  }
}

function isOf(expected: string): string {
  const words: Readonly<Record<string, string>> = {
    object: 'is not a mapping',
    record: 'is not a mapping',
    array: 'is not a list',
    string: 'is not text',
    int: 'is not a whole number',
    number: 'is not a number',
    boolean: 'is neither true nor false',
  }
  return words[expected] ?? `is not of type ${expected}`
}

function quotingHint(expected: string, value: unknown): string {
  if (expected === 'string' && ['number', 'boolean'].includes(typeof value)) return ': put it in quotes'
  const unquoted = {int: /^\d+$/, number: /^\d+(\.\d+)?$/, boolean: /^(true|false)$/}[expected]
  if (typeof value === 'string' && unquoted?.test(value) === true) return ': leave the quotes out'
  // Also what a ~ alone is read as.
  return value === null ? ': nothing is written there' : ''
}

function unknownKey(key: string, known: readonly string[]): string {
  const hint = suggestion(key, known)
  return `is not a known key${hint === '' && known.length > 0 ? `; known are ${known.join(', ')}` : hint}`
}

function suggestion(value: unknown, known: readonly string[]): string {
  if (typeof value !== 'string') return ''
  const [nearest] = known
    .map((word) => ({word, distance: distanceOf(value.toLowerCase(), word.toLowerCase())}))
    .filter(({word, distance}) => distance <= Math.max(1, Math.floor(word.length / 3)))
    .sort((a, b) => a.distance - b.distance)
  return nearest === undefined ? '' : `; did you mean ${nearest.word}?`
}

/** Levenshtein's distance; words longer than any key are simply far. */
export function distanceOf(a: string, b: string): number {
  if (a.length > 64) return a.length
  let row = Array.from({length: b.length + 1}, (_, index) => index)
  for (const [i, left] of Array.from(a).entries()) {
    const next = [i + 1]
    for (const [j, right] of Array.from(b).entries()) {
      const [above = 0, diagonal = 0, before = 0] = [row[j + 1], row[j], next[j]]
      next.push(Math.min(above + 1, before + 1, diagonal + (left === right ? 0 : 1)))
    }
    row = next
  }
  return row[b.length] ?? 0
}

function isSecretName(key: string): boolean {
  return /password|passphrase|secret|token|credential/i.test(key)
}

/** Values as messages and logs may show them: short, and without what could be a secret. */
function shown(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return shortened(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth === 3) return '…'
  if (Array.isArray(value)) return value.slice(0, 10).map((item: unknown) => shown(item, depth + 1))
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, 20)
      .map(([key, item]) => [key, isSecretName(key) ? '(hidden)' : shown(item, depth + 1)]),
  )
}

function shortened(value: string): string {
  const withoutCredentials = value.replace(/^(\w+:\/\/)[^/]*@/, '$1(hidden)@')
  return withoutCredentials.length > 200 ? `${withoutCredentials.slice(0, 200)}…` : withoutCredentials
}
