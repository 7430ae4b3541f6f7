import fc from 'fast-check'
import {z} from 'zod'
import {anyText} from './any-text.ts'

const nodeSchema = z.looseObject({
  type: z.enum(['object', 'array', 'string', 'integer', 'number', 'boolean']),
  properties: z.record(z.string(), z.unknown()).optional(),
  additionalProperties: z.unknown().optional(),
  items: z.unknown().optional(),
  required: z.array(z.string()).default([]),
  enum: z.array(z.union([z.string(), z.number()])).optional(),
  pattern: z.string().optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  minLength: z.int().default(0),
  maxLength: z.int().optional(),
  minItems: z.int().default(0),
})
type Node = z.output<typeof nodeSchema>

/** What people and attackers write where a number or a text is asked for. */
const ODD_NUMBERS = [0, -1, 1, 2, 601, 70_000, 2 ** 31, 2 ** 53, 2 ** 53 + 2, -(2 ** 53) - 2, 1e300, 1.5]
const ODD_TEXTS = [
  '',
  ' ',
  '\0',
  '\n',
  'a\nb',
  '-',
  '.',
  '..',
  '../a',
  '1e999',
  'NaN',
  '99999999999d',
  '😀'.repeat(200),
]

/**
 * Objects as an OpenAPI schema of a definition describes them, and some that break it: values at and just beyond each
 * limit, texts of any kind. Who is asked whether they are valid is the API server.
 */
export function anyOfDefinition(schema: unknown): fc.Arbitrary<unknown> {
  const node = nodeSchema.parse(schema)
  switch (node.type) {
    case 'object':
      return objectOf(node)
    case 'array':
      return fc.array(anyOfDefinition(node.items), {minLength: node.minItems, maxLength: node.minItems + 2})
    case 'boolean':
      return fc.boolean()
    case 'integer':
    case 'number': {
      if (node.enum !== undefined) return fc.constantFrom(...node.enum, ...node.enum, ...ODD_NUMBERS)
      const limits = [node.minimum, node.maximum].filter((limit) => limit !== undefined)
      return fc.oneof(
        {
          weight: 6,
          arbitrary: fc.integer({
            min: Math.max(node.minimum ?? 0, -1000),
            max: Math.min(node.maximum ?? 1000, 1000),
          }),
        },
        {
          weight: 1,
          arbitrary: fc.constantFrom(
            ...limits,
            ...limits.flatMap((limit) => [limit - 1, limit + 1]),
            ...ODD_NUMBERS,
          ),
        },
      )
    }
    case 'string':
      return textOf(node)
  }
}

function textOf({enum: values, pattern, minLength, maxLength}: Node): fc.Arbitrary<string> {
  if (values !== undefined)
    return fc.oneof(
      {weight: 9, arbitrary: fc.constantFrom(...values.map(String))},
      {weight: 1, arbitrary: anyText()},
    )
  const right =
    pattern === undefined
      ? anyText({minLength, maxLength: Math.min(maxLength ?? 20, 20)})
      : fc.stringMatching(new RegExp(pattern))
  const long =
    maxLength === undefined
      ? []
      : ['a'.repeat(maxLength), 'a'.repeat(maxLength + 1), 'é'.repeat(maxLength), '😀'.repeat(maxLength)]
  return fc.oneof(
    {weight: 12, arbitrary: right},
    {weight: 1, arbitrary: fc.oneof(anyText(), fc.constantFrom(...ODD_TEXTS, ...long))},
  )
}

function objectOf({properties = {}, additionalProperties, required}: Node): fc.Arbitrary<unknown> {
  if (typeof additionalProperties === 'object')
    return fc.dictionary(
      fc.oneof(fc.stringMatching(/^[a-z]{1,8}$/), anyText({maxLength: 5})),
      anyOfDefinition(additionalProperties),
      {maxKeys: 3},
    )
  const entries = Object.entries(properties)
  const model = Object.fromEntries(entries.map(([key, value]) => [key, anyOfDefinition(value)]))
  return fc.record(model, {requiredKeys: required})
}
