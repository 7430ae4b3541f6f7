import {existsSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {clusterJsonSchema} from '../../../src/spec/json-schema.ts'
import {loadSpec} from '../../../src/spec/load.ts'
import {byonMachines} from '../../../src/spec/machines.ts'

const docs = join(import.meta.dirname, '../../../docs')
const isUpdate = process.env['UPDATE_GOLDEN'] === '1'

test('docs/cluster.schema.json is the schema of the code', () => {
  const path = join(docs, 'cluster.schema.json')
  const text = `${JSON.stringify(clusterJsonSchema(), null, 2)}\n`
  if (isUpdate) writeFileSync(path, text)
  expect(existsSync(path) ? readFileSync(path, 'utf8') : '', 'rewrite it with UPDATE_GOLDEN=1').toBe(text)
})

test('docs/cluster.md lists every key with its default', () => {
  const path = join(docs, 'cluster.md')
  const text = readFileSync(path, 'utf8')
  const table = [
    '',
    '| key | type | default | meaning |',
    '| --- | --- | --- | --- |',
    ...rowsOf(clusterJsonSchema(), ''),
    '',
  ]
  const wanted = text.replace(
    /(<!-- keys: .*-->\n)[^]*(<!-- end of keys -->)/,
    (_all, start: string, end: string) => `${start}${table.join('\n')}\n${end}`,
  )
  if (isUpdate) writeFileSync(path, wanted)
  expect(readFileSync(path, 'utf8'), 'rewrite it with UPDATE_GOLDEN=1').toBe(wanted)
})

test('the example of docs/cluster.md loads', () => {
  const example = /<!-- example: .*-->\s+```yaml\n([^]*?)```/.exec(
    readFileSync(join(docs, 'cluster.md'), 'utf8'),
  )
  const spec = loadSpec({text: example?.[1] ?? '', file: 'docs/cluster.md'})
  expect(byonMachines(spec).map(({name, privateAddress}) => `${name} ${privateAddress}`)).toEqual([
    'cp-1 10.0.0.10',
    'worker-1 10.0.0.21',
    'node-b 10.0.0.22',
    'batch-1 10.0.0.31',
  ])
})

type Schema = Readonly<Record<string, unknown>>

function rowsOf(schema: Schema, path: string): readonly string[] {
  const required = Array.isArray(schema['required']) ? schema['required'] : []
  return Object.entries(asSchema(schema['properties'])).flatMap(([key, value]) => {
    const child = asSchema(value)
    const at = path === '' ? key : `${path}.${key}`
    const items = asSchema(child['items'])
    if (items['type'] === 'object')
      return [row(at, child, required.includes(key)), ...rowsOf(items, `${at}[]`)]
    const below = rowsOf(child, at)
    return below.length > 0 ? below : [row(at, child, required.includes(key))]
  })
}

function row(path: string, schema: Schema, isRequired: boolean): string {
  const fallback = isRequired
    ? 'required'
    : 'default' in schema
      ? `\`${JSON.stringify(schema['default'])}\``
      : ''
  const description = typeof schema['description'] === 'string' ? schema['description'] : ''
  return `| \`${path}\` | ${typeOf(schema)} | ${fallback} | ${description} |`
}

function typeOf(schema: Schema): string {
  const {enum: choices, anyOf, items, type} = schema
  if ('const' in schema) return `\`${String(schema['const'])}\``
  if (Array.isArray(choices)) return choices.map((choice) => `\`${String(choice)}\``).join(', ')
  if (Array.isArray(anyOf)) return 'mapping'
  if (type === 'array') {
    const item = asSchema(items)
    return item['type'] === 'object' ? 'list' : `list of ${typeOf(item)}s`
  }
  if (type === 'object') return 'mapping'
  return type === 'integer' ? 'number' : String(type)
}

function asSchema(value: unknown): Schema {
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {}
}
