import {z} from 'zod'
import {clusterDocumentSchema} from './cluster-spec.ts'

/** JSON Schema of cluster.yaml as the user writes it, for editors and for `docs/cluster.schema.json`. */
export function clusterJsonSchema(): Readonly<Record<string, unknown>> {
  return {title: 'clouder cluster.yaml', ...z.toJSONSchema(clusterDocumentSchema, {io: 'input'})}
}

let root: unknown

/** The keys that the schema knows at a path of the document; none where any key goes. */
export function knownKeysAt(path: readonly (string | number)[]): readonly string[] {
  // Made for the first problem only: it costs several times what checking a document does.
  root ??= clusterJsonSchema()
  return keysOfSchema(root, path)
}

/** The keys that a JSON Schema knows at a path. */
export function keysOfSchema(schema: unknown, path: readonly (string | number)[]): readonly string[] {
  const nodes = path.reduce(
    (schemas, key) => schemas.flatMap((node) => below(node, key)),
    alternatives(schema),
  )
  return [...new Set(nodes.flatMap((node) => Object.keys(asMapping(asMapping(node)['properties']))))]
}

function below(schema: unknown, key: string | number): readonly unknown[] {
  const node = asMapping(schema)
  if (typeof key === 'number') return alternatives(node['items'])
  return alternatives(asMapping(node['properties'])[key] ?? node['additionalProperties'])
}

function alternatives(schema: unknown): readonly unknown[] {
  const {anyOf} = asMapping(schema)
  return Array.isArray(anyOf) ? anyOf : [schema]
}

function asMapping(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {}
}
