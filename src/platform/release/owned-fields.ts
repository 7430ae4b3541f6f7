import {isDeepStrictEqual} from 'node:util'
import {z} from 'zod'
import type {KubeObject} from '../../kubernetes/types.ts'
import {isJsonObject, type JsonObject} from './json-values.ts'

const entrySchema = z.looseObject({
  manager: z.string().optional(),
  operation: z.string().optional(),
  apiVersion: z.string().optional(),
  subresource: z.string().optional(),
  time: z.string().optional(),
  fieldsV1: z.record(z.string(), z.unknown()).optional(),
})
export type ManagedEntry = z.output<typeof entrySchema>

/** Who owns which fields of an object, as the server keeps it; the status left out. */
export const managedEntries = ({metadata}: KubeObject): readonly ManagedEntry[] =>
  z
    .array(entrySchema)
    .parse(metadata['managedFields'] ?? [])
    // `kubectl scale` writes a field of the object itself by way of a subresource.
    .filter(({subresource = ''}) => subresource === '' || subresource === 'scale')

export const appliedEntry = (object: KubeObject, manager: string): ManagedEntry | undefined =>
  managedEntries(object).find((entry) => entry.manager === manager && entry.operation === 'Apply')

/** These belong to the identity of an object, and to no field manager. */
const IDENTITY = new Set(['apiVersion', 'kind'])
const IDENTITY_METADATA = new Set(['name', 'namespace'])

/**
 * Whether applying the object would surely change nothing: the field manager owns exactly the fields of it, and each has
 * its value. False: a dry run has to decide. Where the server writes a value in another way than it was given (`0.5`
 * as `500m`), and where it orders a list otherwise, that is so.
 */
export function isAppliedAlready(live: KubeObject, wanted: KubeObject, manager: string): boolean {
  const entry = appliedEntry(live, manager)
  if (entry?.fieldsV1 === undefined || entry.apiVersion !== wanted.apiVersion) return false
  const {metadata, ...rest} = wanted
  const fields = Object.fromEntries(Object.entries(rest).filter(([key]) => !IDENTITY.has(key)))
  const ownMetadata = Object.fromEntries(
    Object.entries(metadata).filter(([key, value]) => !IDENTITY_METADATA.has(key) && value !== undefined),
  )
  const given = Object.keys(ownMetadata).length === 0 ? fields : {...fields, metadata: ownMetadata}
  return isOwned(entry.fieldsV1, given, live)
}

function isOwned(node: JsonObject, wanted: unknown, live: unknown): boolean {
  const keys = Object.keys(node).filter((key) => key !== '.')
  if (keys.length === 0) return wanted !== undefined && wanted !== null && isDeepStrictEqual(wanted, live)
  if (keys.every((key) => key.startsWith('f:'))) return areFieldsOwned(node, keys, wanted, live)
  if (keys.every((key) => key.startsWith('k:'))) return areItemsOwned(node, keys, wanted, live)
  if (keys.every((key) => key.startsWith('v:'))) {
    const values = keys.map((key): unknown => JSON.parse(key.slice(2)))
    return (
      Array.isArray(wanted) && Array.isArray(live) && isSameSet(values, wanted) && isSameSet(live, wanted)
    )
  }
  return false
}

function areFieldsOwned(node: JsonObject, keys: readonly string[], wanted: unknown, live: unknown): boolean {
  if (!isJsonObject(wanted) || !isJsonObject(live)) return false
  const names = keys.map((key) => key.slice(2))
  const given = Object.keys(wanted).filter((name) => wanted[name] !== undefined)
  if (given.length !== names.length) return false
  return names.every((name) => {
    const under = node[`f:${name}`]
    return isJsonObject(under) && name in wanted && isOwned(under, wanted[name], live[name])
  })
}

function areItemsOwned(node: JsonObject, keys: readonly string[], wanted: unknown, live: unknown): boolean {
  if (!Array.isArray(wanted) || !Array.isArray(live) || wanted.length !== keys.length) return false
  const places = keys.map((key) => {
    const under = node[key]
    const parts: unknown = JSON.parse(key.slice(2))
    if (!isJsonObject(under) || !isJsonObject(parts)) return undefined
    // What is left out of a key has its default.
    const given = wanted.findIndex((item) => hasKey(item, parts, true))
    const there = live.findIndex((item) => hasKey(item, parts, false))
    if (given < 0 || there < 0 || !isOwned(under, wanted[given], live[there])) return undefined
    return {given, there}
  })
  const found = places.filter((place) => place !== undefined).toSorted((one, two) => one.given - two.given)
  if (found.length !== keys.length) return false
  return found.every(({given, there}, index) => given === index && there >= (found[index - 1]?.there ?? 0))
}

const hasKey = (item: unknown, key: JsonObject, mayLack: boolean): boolean =>
  isJsonObject(item) &&
  Object.entries(key).every(([name, value]) =>
    item[name] === undefined ? mayLack : isDeepStrictEqual(item[name], value),
  )

const isSameSet = (one: readonly unknown[], two: readonly unknown[]): boolean =>
  one.length === two.length && isDeepStrictEqual(one, two)

/** One step of a path: a field, or an item of a list by its key. */
export type Step = string | JsonObject

/** Whether an entry owns a field, or something inside of it. */
export function ownsPath({fieldsV1}: ManagedEntry, path: readonly Step[]): boolean {
  let at: unknown = fieldsV1
  for (const step of path) {
    if (!isJsonObject(at)) return false
    const keys = Object.keys(at).filter((key) => key !== '.')
    // A leaf owns what is inside of it.
    if (keys.length === 0) return true
    const key =
      typeof step === 'string'
        ? `f:${step}`
        : keys.find((one) => {
            const parts: unknown = one.startsWith('k:') ? JSON.parse(one.slice(2)) : undefined
            return isJsonObject(parts) && Object.entries(step).every(([name, value]) => parts[name] === value)
          })
    at = key === undefined ? undefined : at[key]
  }
  return at !== undefined
}

/** Paths of the leaves that an entry owns; items of lists that have no key are left out. */
export function leavesOf(node: JsonObject, path: readonly Step[] = []): readonly (readonly Step[])[] {
  const keys = Object.keys(node).filter((key) => key !== '.')
  if (keys.length === 0) return path.length === 0 ? [] : [path]
  return keys.flatMap((key) => {
    const under = node[key]
    const step: unknown = key.startsWith('f:')
      ? key.slice(2)
      : key.startsWith('k:')
        ? JSON.parse(key.slice(2))
        : undefined
    if (!isJsonObject(under) || (typeof step !== 'string' && !isJsonObject(step))) return []
    return leavesOf(under, [...path, step])
  })
}

/** What stands at a path; undefined: nothing. */
export function valueAt(value: unknown, path: readonly Step[]): unknown {
  let at = value
  for (const step of path) {
    if (typeof step === 'string') at = isJsonObject(at) ? at[step] : undefined
    else at = Array.isArray(at) ? at.find((item) => hasKey(item, step, true)) : undefined
  }
  return at
}
