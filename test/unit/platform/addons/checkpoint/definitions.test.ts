import {expect, test} from 'vitest'
import {z} from 'zod'
import {checkpointDefinitions, structural} from '../../../../../src/platform/addons/checkpoint/definitions.ts'
import {RESOURCES} from '../../../../../src/api/resources.ts'

const nodeSchema = z.looseObject({type: z.string().optional(), required: z.array(z.string()).optional()})
type Node = z.output<typeof nodeSchema>
const definitionSchema = z.looseObject({
  spec: z.object({
    names: z.object({kind: z.string()}),
    versions: z.tuple([
      z.object({schema: z.object({openAPIV3Schema: z.object({properties: z.object({spec: nodeSchema})})})}),
    ]),
  }),
})

/** A schema's own inside, as far as it is walked here. */
const insideSchema = z.looseObject({
  type: z.string(),
  checks: z.array(z.looseObject({_zod: z.object({def: z.looseObject({check: z.string()})})})).optional(),
})

/** What each check of zod is called in a definition; one that has no name here could not reach it. */
const IN_DEFINITIONS: Readonly<Record<string, (def: Readonly<Record<string, unknown>>, node: Node) => void>> =
  {
    min_length: ({minimum}, node) => expect(node['minLength'] ?? node['minItems']).toBe(minimum),
    max_length: ({maximum}, node) => expect(node['maxLength'] ?? node['maxItems']).toBe(maximum),
    greater_than: ({value}, node) => expect(node['minimum']).toBe(value),
    less_than: ({value}, node) => expect(node['maximum']).toBe(value),
    // What JSON has as a whole number that a program reads without loss.
    number_format: (_def, node) => {
      expect(node.type).toBe('integer')
      expect(node['minimum']).toBeGreaterThanOrEqual(Number.MIN_SAFE_INTEGER)
      expect(node['maximum']).toBeLessThanOrEqual(Number.MAX_SAFE_INTEGER)
    },
    string_format: ({pattern}, node) =>
      expect(node['pattern']).toBe(pattern instanceof RegExp ? pattern.source : ''),
  }

/** Walks a schema beside what was made of it; gives how many rules were found in both. */
function rulesOf(schema: z.core.$ZodType, node: Node, path: string): number {
  const def = insideSchema.parse(schema._zod.def)
  const inner = (key: string): z.core.$ZodType => def[key] as z.core.$ZodType
  const child = (key: string): Node => nodeSchema.parse(node[key])
  const property = (key: string): Node => nodeSchema.parse(z.looseObject({}).parse(node['properties'])[key])
  let count = 0
  const checks = [...(def.checks ?? []).map((check) => check._zod.def), ...('check' in def ? [def] : [])]
  for (const check of checks) {
    const compare = IN_DEFINITIONS[String(check['check'])]
    if (compare === undefined)
      expect.fail(`${path} is checked by ${String(check['check'])}, which a definition has not`)
    compare(check, node)
    count += 1
  }
  switch (def.type) {
    case 'optional':
    case 'default':
      return count + rulesOf(inner('innerType'), node, path)
    case 'object':
      for (const [key, value] of Object.entries(
        z.record(z.string(), z.custom<z.core.$ZodType>()).parse(def['shape']),
      )) {
        count += rulesOf(value, property(key), `${path}.${key}`)
        const mayBeAbsent = z.safeParse(value, undefined).success
        expect(node.required?.includes(key) ?? false, `${path}.${key} is required`).toBe(!mayBeAbsent)
      }
      return count
    case 'array':
      return count + rulesOf(inner('element'), child('items'), `${path}[]`)
    case 'record':
      return count + rulesOf(inner('valueType'), child('additionalProperties'), `${path}{}`)
    case 'union':
      for (const option of z.array(z.custom<z.core.$ZodObject>()).parse(def['options']))
        for (const [key, value] of Object.entries(option._zod.def.shape))
          count += rulesOf(value, property(key), `${path}.${key}`)
      return count
    case 'enum':
      expect(node['enum']).toEqual(Object.values(z.record(z.string(), z.string()).parse(def['entries'])))
      return count + 1
    case 'string':
    case 'boolean':
    case 'number':
      return count
    default:
      return expect.fail(`${path} is a ${def.type}, which a definition has not`)
  }
}

test('every rule of every schema is one of its definition', () => {
  let count = 0
  for (const definition of checkpointDefinitions()) {
    const {names, versions} = definitionSchema.parse(definition).spec
    const resource = Object.entries(RESOURCES).find(([kind]) => kind === names.kind)?.[1]
    if (resource === undefined) expect.fail(`no schema of ${names.kind}`)
    count += rulesOf(
      resource.schema.shape.spec,
      versions[0].schema.openAPIV3Schema.properties.spec,
      names.kind,
    )
  }
  expect(count).toBeGreaterThan(100)
})

test.for([
  {what: 'a multiple', schema: z.number().multipleOf(5)},
  {what: 'keys of a form', schema: z.record(z.string().regex(/^a/), z.string())},
  {what: 'a tuple', schema: z.tuple([z.string(), z.int()])},
])('a schema with $what has no definition, and says so', ({schema}) => {
  expect(() => structural(z.toJSONSchema(schema, {io: 'input'}))).toThrow(/^a definition has no /)
})
