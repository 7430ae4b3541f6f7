import {stackJsonSchema} from '../../src/platform/graph/stack-schema.ts'

type Schema = Readonly<Record<string, unknown>>

/** docs/stack-reference.md: every key of stack.yaml, each before those inside it. */
export function stackReferencePage(): string {
  return [
    '# Keys of stack.yaml',
    '',
    'Every key, each before the keys inside it; `*` stands for a name that you choose. Generated from the schema; `UPDATE_GOLDEN=1 npx vitest run --project unit test/unit/platform/graph/stack-docs.test.ts` writes it. For editors: [stack.schema.json](stack.schema.json). What a stack is: [stacks.md](stacks.md).',
    '',
    ...linesBelow(stackJsonSchema(), ''),
    '',
  ].join('\n')
}

function linesBelow(schema: Schema, path: string): readonly string[] {
  const required = Array.isArray(schema['required']) ? schema['required'] : []
  const rest = schemaOf(schema['additionalProperties'])
  const named = Object.entries(schemaOf(schema['properties'])).map(
    ([key, value]) => [key, schemaOf(value), required.includes(key)] as const,
  )
  const isOpen = Object.keys(rest).length > 0 && rest['type'] === 'object'
  return [...named, ...(isOpen ? [['*', rest, false] as const] : [])].flatMap(([key, child, isRequired]) => {
    const own = path === '' ? key : `${path}.${key}`
    const items = schemaOf(child['items'])
    const inside = items['type'] === 'object' ? linesBelow(items, `${own}[]`) : linesBelow(child, own)
    return [lineOf(own, child, isRequired), ...inside]
  })
}

function lineOf(path: string, schema: Schema, isRequired: boolean): string {
  const depth = path.split('.').length - 1
  const {default: usual, description} = schema
  // A mapping whose keys have defaults themselves.
  const isPlain = usual !== undefined && JSON.stringify(usual) !== '{}'
  const facts = [
    typeOf(schema),
    ...(isRequired && usual === undefined ? ['required'] : []),
    ...(isPlain ? [`default \`${JSON.stringify(usual)}\``] : []),
  ]
  const meaning = typeof description === 'string' ? `: ${description}` : ''
  return `${'  '.repeat(depth)}- \`${path}\` (${facts.join(', ')})${meaning}`
}

function typeOf(schema: Schema): string {
  const {anyOf, items, type} = schema
  if ('const' in schema) return `\`${String(schema['const'])}\``
  if (Array.isArray(anyOf)) return anyOf.map((one) => typeOf(schemaOf(one))).join(' or ')
  if (type === 'array') return `list of ${typeOf(schemaOf(items))}`
  if (type === 'object') return 'mapping'
  if (type === undefined) return 'any value'
  return type === 'integer' ? 'number' : type === 'string' ? 'text' : JSON.stringify(type).replaceAll('"', '')
}

function schemaOf(value: unknown): Schema {
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {}
}
