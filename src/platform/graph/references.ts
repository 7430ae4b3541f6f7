import {z} from 'zod'
import type {Finding, Path} from '../../spec/problems.ts'

/** The value of a key of a Secret, or of a ConfigMap. Namespace: that of the service, where none is named. */
export interface StoredReference {
  readonly kind: 'secret' | 'config'
  readonly name: string
  readonly key: string
  readonly namespace?: string | undefined
  /** `base64`: the value is encoded. */
  readonly encoding?: 'base64' | undefined
}

/** An output of another service of the stack. */
export interface OutputReference {
  readonly kind: 'output'
  readonly service: string
  readonly name: string
}

export type Reference = StoredReference | OutputReference

export interface FoundReference {
  readonly reference: Reference
  readonly path: Path
}

export interface Scanned {
  readonly references: readonly FoundReference[]
  readonly findings: readonly Finding[]
}

const stored = {name: z.string().min(1), key: z.string().min(1), namespace: z.string().min(1).optional()}

/** What may follow each key that begins with `$`; the whole mapping is the reference. */
const SCHEMAS = {
  $secret: z.strictObject({...stored, encoding: z.literal('base64').optional()}),
  $config: z.strictObject(stored),
  $output: z.strictObject({service: z.string().min(1), name: z.string().min(1)}),
  $format: z.strictObject({template: z.string(), with: z.record(z.string(), z.unknown())}),
} as const
type ReferenceKey = keyof typeof SCHEMAS

const KNOWN = Object.keys(SCHEMAS) as readonly ReferenceKey[]
const isKnown = (key: string): key is ReferenceKey => Object.hasOwn(SCHEMAS, key)

/** `{{` and `}}` are braces of the text; `{name}` is a part of `with`. */
const PART = /\{\{|\}\}|\{([^{}]*)\}|[{}]/g

type Mapping = Readonly<Record<string, unknown>>
const isMapping = (value: unknown): value is Mapping =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A key with two of them stands for one that begins with `$` itself: `$$schema`. */
const isDollar = (key: string): boolean => key.startsWith('$') && !key.startsWith('$$')

/** Whether a mapping is meant as a reference, right or wrong. */
export const isReference = (value: unknown): value is Mapping =>
  isMapping(value) && Object.keys(value).some(isDollar)

/** Every reference below a value, and what is wrong with those that are none. */
export function scanReferences(value: unknown, path: Path = []): Scanned {
  if (Array.isArray(value)) return merged(value.map((item, index) => scanReferences(item, [...path, index])))
  if (!isMapping(value)) return merged([])
  if (isReference(value)) return scanOne(value, path)
  return merged(Object.entries(value).map(([key, child]) => scanReferences(child, [...path, key])))
}

const merged = (all: readonly Scanned[]): Scanned => ({
  references: all.flatMap(({references}) => references),
  findings: all.flatMap(({findings}) => findings),
})

function scanOne(value: Mapping, path: Path): Scanned {
  const wrong = (at: Path, problem: string): Scanned => ({
    references: [],
    findings: [{path: at, value: undefined, problem}],
  })
  const [key = '', ...others] = Object.keys(value).toSorted(
    (a, b) => Number(isDollar(b)) - Number(isDollar(a)),
  )
  if (others.length > 0)
    return wrong(path, `is a reference (${key}), and has other keys beside it: ${others.join(', ')}`)
  if (!isKnown(key)) {
    return wrong(
      [...path, key],
      `is not a reference; known are ${KNOWN.join(', ')}; write $${key} for the key itself`,
    )
  }
  const parsed = SCHEMAS[key].safeParse(value[key])
  if (!parsed.success) {
    return merged(
      parsed.error.issues.map((issue) => {
        const below = issue.path.filter((part) => typeof part !== 'symbol')
        const problem =
          issue.code === 'unrecognized_keys'
            ? `has unknown keys: ${issue.keys.join(', ')}`
            : 'is missing or not text'
        return wrong([...path, key, ...below], problem)
      }),
    )
  }
  return key === '$format'
    ? scanFormat(value, path)
    : {references: [{reference: referenceOf(key, value), path}], findings: []}
}

function referenceOf(key: Exclude<ReferenceKey, '$format'>, value: Mapping): Reference {
  switch (key) {
    case '$secret':
      return {kind: 'secret', ...SCHEMAS.$secret.parse(value[key])}
    case '$config':
      return {kind: 'config', ...SCHEMAS.$config.parse(value[key])}
    case '$output':
      return {kind: 'output', ...SCHEMAS.$output.parse(value[key])}
  }
}

function scanFormat(value: Mapping, path: Path): Scanned {
  const {template, with: parts} = SCHEMAS.$format.parse(value['$format'])
  const at = [...path, '$format']
  const named = new Set<string>()
  const findings: Finding[] = []
  for (const [text, name] of template.matchAll(PART)) {
    if (name !== undefined) named.add(name)
    else if (text.length === 1) {
      findings.push({
        path: [...at, 'template'],
        value: undefined,
        problem: `has a single ${text}; write ${text}${text} for the character`,
      })
    }
  }
  for (const name of named) {
    if (!Object.hasOwn(parts, name)) {
      findings.push({
        path: [...at, 'with', name],
        value: undefined,
        problem: 'is required, the template names it',
      })
    }
  }
  for (const [name, part] of Object.entries(parts)) {
    const place = [...at, 'with', name]
    if (!named.has(name))
      findings.push({path: place, value: undefined, problem: 'is not part of the template'})
    const isText = ['string', 'number', 'boolean'].includes(typeof part)
    if (!isText && !(isReference(part) && !Object.hasOwn(part, '$format'))) {
      findings.push({path: place, value: undefined, problem: 'is neither text nor a reference'})
    }
  }
  const scanned = scanReferences(parts, [...at, 'with'])
  return {references: scanned.references, findings: [...findings, ...scanned.findings]}
}

/** Whether a value, with what it refers to, must not be shown. */
export const isSecretReference = (
  {reference}: FoundReference,
  isSensitive: (output: OutputReference) => boolean,
): boolean => reference.kind === 'secret' || (reference.kind === 'output' && isSensitive(reference))

/** The value with each reference replaced. Only for values that `scanReferences` found nothing wrong with. */
export function resolveReferences(value: unknown, valueOf: (reference: Reference) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => resolveReferences(item, valueOf))
  if (!isMapping(value)) return value
  if (!isReference(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, child]) => [
        key.startsWith('$$') ? key.slice(1) : key,
        resolveReferences(child, valueOf),
      ]),
    )
  }
  const [key = ''] = Object.keys(value)
  if (!isKnown(key)) throw new TypeError(`${key} is not a reference`)
  if (key !== '$format') return valueOf(referenceOf(key, value))
  const {template, with: parts} = SCHEMAS.$format.parse(value[key])
  return template.replace(PART, (text, name: string | undefined) => {
    if (name === undefined) return text.charAt(0)
    return String(resolveReferences(parts[name], valueOf))
  })
}

/** `Secret shop/db-conn key url`, `output url of service db`. */
export function describeReference(reference: Reference, namespace: string): string {
  if (reference.kind === 'output') return `output ${reference.name} of service ${reference.service}`
  const kind = reference.kind === 'secret' ? 'Secret' : 'ConfigMap'
  return `${kind} ${reference.namespace ?? namespace}/${reference.name} key ${reference.key}`
}
