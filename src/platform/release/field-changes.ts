import {isDeepStrictEqual} from 'node:util'
import type {KubeObject} from '../../kubernetes/types.ts'
import {isJsonObject, type JsonObject} from './json-values.ts'
import type {Step} from './owned-fields.ts'
import type {FieldChange} from './types.ts'

/** What the items of lists in Kubernetes are told apart by. */
const LIST_KEYS: readonly (readonly string[])[] = [
  ['name'],
  ['containerPort', 'protocol'],
  ['port', 'protocol'],
  ['mountPath'],
  ['devicePath'],
  ['key'],
  ['type'],
  ['ip'],
  ['uid'],
  ['topologyKey', 'whenUnsatisfiable'],
]

/** What the server alone writes. */
const SERVER_METADATA = new Set([
  ...['managedFields', 'resourceVersion', 'generation', 'uid', 'creationTimestamp', 'selfLink'],
])
/** What takes the place of the value of a Secret. */
export const HIDDEN = '(hidden)'

export interface Change extends FieldChange {
  readonly steps: readonly Step[]
}

/** How an object differs from what it would be, by field. The values of a Secret are hidden. */
export function changesBetween(live: KubeObject, after: KubeObject): readonly Change[] {
  const found = differences(comparableFields(live), comparableFields(after), [])
  return live.kind === 'Secret' && live.apiVersion === 'v1' ? found.map(hidden) : found
}

export function hidden(change: Change): Change {
  const [first] = change.steps
  if (first !== 'data' && first !== 'stringData' && !isLastApplied(change.steps)) return change
  const mask = (value: unknown): unknown => (value === undefined ? undefined : HIDDEN)
  if (change.steps.length > 1) return {...change, before: mask(change.before), after: mask(change.after)}
  const keys = (value: unknown): unknown => (isJsonObject(value) ? Object.keys(value) : mask(value))
  return {...change, before: keys(change.before), after: keys(change.after)}
}

/** kubectl keeps a copy of what it applied there, data included. */
const isLastApplied = (steps: readonly Step[]): boolean =>
  steps[0] === 'metadata' && steps[1] === 'annotations'

function comparableFields(object: KubeObject): JsonObject {
  const {status, metadata, ...rest} = object
  const kept = Object.entries(metadata).filter(([key]) => !SERVER_METADATA.has(key))
  return {...rest, metadata: Object.fromEntries(kept)}
}

export function differences(before: unknown, after: unknown, steps: readonly Step[]): readonly Change[] {
  if (isDeepStrictEqual(before, after)) return []
  if (isJsonObject(before) && isJsonObject(after)) {
    const names = new Set([...Object.keys(before), ...Object.keys(after)])
    return [...names].flatMap((name) => differences(before[name], after[name], [...steps, name]))
  }
  if (Array.isArray(before) && Array.isArray(after)) {
    const byKey = itemsByKey(before, after, steps)
    if (byKey !== undefined) return byKey
  }
  return [{path: pathText(steps), steps, before, after}]
}

/** Differences of lists whose items have a key; undefined: they have none, or only their order differs. */
function itemsByKey(
  before: readonly unknown[],
  after: readonly unknown[],
  steps: readonly Step[],
): readonly Change[] | undefined {
  const keys = LIST_KEYS.find((names) => isKeyOf(names, before) && isKeyOf(names, after))
  if (keys === undefined) return undefined
  const keyOf = (item: unknown): JsonObject =>
    Object.fromEntries(
      keys.flatMap((name) => (isJsonObject(item) && item[name] !== undefined ? [[name, item[name]]] : [])),
    )
  const all = new Map([...before, ...after].map((item) => [JSON.stringify(keyOf(item)), keyOf(item)]))
  const find = (items: readonly unknown[], text: string): unknown =>
    items.find((item) => JSON.stringify(keyOf(item)) === text)
  const found = [...all].flatMap(([text, key]) =>
    differences(find(before, text), find(after, text), [...steps, key]),
  )
  return found.length === 0 ? undefined : found
}

function isKeyOf(names: readonly string[], items: readonly unknown[]): boolean {
  const [first = ''] = names
  const texts = items.map((item) =>
    isJsonObject(item) && item[first] !== undefined
      ? JSON.stringify(names.map((name) => item[name]))
      : undefined,
  )
  return texts.every((text) => text !== undefined) && new Set(texts).size === items.length
}

/** `spec.template.spec.containers[name=agent].image`. */
export const pathText = (steps: readonly Step[]): string =>
  steps
    .map((step) =>
      typeof step === 'string'
        ? /^[\w-]+$/.test(step)
          ? `.${step}`
          : `[${step}]`
        : `[${Object.entries(step)
            .map(([name, value]) => `${name}=${String(value)}`)
            .join(',')}]`,
    )
    .join('')
    .replace(/^\./, '')
