import {parseAllDocuments} from 'yaml'
import {isDeepStrictEqual} from 'node:util'
import {z} from 'zod'

type Json = Readonly<Record<string, unknown>>

/** Settings that a cluster was initialised with and that cannot change under its pods and certificates, by kind. */
const KEPT: Readonly<Record<string, readonly (readonly [string, ...string[]])[]>> = {
  ClusterConfiguration: [
    ['clusterName'],
    ['controlPlaneEndpoint'],
    ['networking'],
    ['apiServer', 'certSANs'],
  ],
  KubeProxyConfiguration: [['clusterCIDR'], ['mode'], ['conntrack']],
}

const documentSchema = z.looseObject({kind: z.string()})

/** The documents of a kubeadm configuration; what is none is left out. */
export const documentsOf = (text: string): ReadonlyMap<string, Json> =>
  new Map(
    parseAllDocuments(text).flatMap((document): [string, Json][] => {
      const {success, data} = documentSchema.safeParse(document.toJS())
      return success ? [[data.kind, data]] : []
    }),
  )

export interface KeptDocuments {
  readonly documents: readonly Json[]
  /** Whether something was asked for that the cluster keeps as it is. */
  readonly differs: boolean
}

/** Wanted documents with what the cluster was initialised with; `initialised` is the configuration that kubeadm was given. */
export function keepSettings(wanted: readonly Json[], initialised: string): KeptDocuments {
  const before = documentsOf(initialised)
  const documents = wanted.map((document) => {
    const kind = String(document['kind'])
    const old = before.get(kind)
    return old === undefined
      ? document
      : (KEPT[kind] ?? []).reduce((kept, path) => withValueOf(kept, old, path), document)
  })
  return {documents, differs: !isDeepStrictEqual(documents, wanted)}
}

const objectSchema = z.record(z.string(), z.unknown())
const objectOf = (value: unknown): Json => objectSchema.safeParse(value).data ?? {}

/** `target` with what `source` has at a path; without it where it has nothing. */
function withValueOf(target: Json, source: Json, [key, ...rest]: readonly [string, ...string[]]): Json {
  const [next, ...deeper] = rest
  const value =
    next === undefined
      ? source[key]
      : withValueOf(objectOf(target[key]), objectOf(source[key]), [next, ...deeper])
  if (value !== undefined) return {...target, [key]: value}
  const {[key]: _, ...others} = target
  return others
}

/** Whether everything that is wanted is there: keys that only `found` has are defaults. Lists must be equal. */
export function includes(found: unknown, wanted: unknown): boolean {
  const keys = objectSchema.safeParse(wanted)
  if (!keys.success || Array.isArray(wanted)) return isDeepStrictEqual(found, wanted)
  const there = objectSchema.safeParse(found)
  if (!there.success || Array.isArray(found))
    return Object.keys(keys.data).length === 0 && found === undefined
  return Object.entries(keys.data).every(([key, value]) => includes(there.data[key], value))
}
