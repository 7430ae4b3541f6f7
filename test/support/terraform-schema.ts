import {existsSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {z} from 'zod'

const ROOT = join(import.meta.dirname, '../..')

const attributeSchema = z.object({
  /** `string`, or a constructor and what it holds: `['list', 'string']`. */
  type: z.json(),
  required: z.boolean().default(false),
  optional: z.boolean().default(false),
  computed: z.boolean().default(false),
  deprecated: z.boolean().default(false),
})
type Attribute = z.output<typeof attributeSchema>

interface Block {
  readonly attributes: Readonly<Record<string, Attribute>>
  readonly block_types: Readonly<Record<string, BlockType>>
}
interface BlockType {
  readonly nesting_mode: 'single' | 'group' | 'list' | 'set' | 'map'
  readonly min_items?: number | undefined
  readonly max_items?: number | undefined
  readonly block: Block
}

const blockSchema: z.ZodType<Block> = z.lazy(() =>
  z.object({
    attributes: z.record(z.string(), attributeSchema).default({}),
    block_types: z
      .record(
        z.string(),
        z.object({
          nesting_mode: z.enum(['single', 'group', 'list', 'set', 'map']),
          min_items: z.int().optional(),
          max_items: z.int().optional(),
          block: blockSchema,
        }),
      )
      .default({}),
  }),
)
const elementSchema = z.object({block: blockSchema})

/** What Terraform has itself, whatever the provider. */
const BUILT_IN: Readonly<Record<string, z.output<typeof elementSchema>>> = {
  terraform_data: {
    block: blockSchema.parse({
      attributes: {
        id: {type: 'string', computed: true},
        input: {type: 'dynamic', optional: true},
        output: {type: 'dynamic', computed: true},
        triggers_replace: {type: 'dynamic', optional: true},
      },
    }),
  },
}

/** What a provider says about its blocks, in the words of `terraform providers schema -json`. */
export const terraformSchemaSchema = z.object({
  provider: z.string(),
  version: z.string(),
  provider_config: elementSchema,
  resources: z.record(z.string(), elementSchema).transform((types) => ({...types, ...BUILT_IN})),
  data_sources: z.record(z.string(), elementSchema),
})
export type TerraformSchema = z.output<typeof terraformSchemaSchema>

/** Where the schema of a provider lies: beside the checkout. */
export const schemaFile = (provider: 'aws' | 'azurerm'): string =>
  join(ROOT, '..', 'shared', 'lab', `terraform-schema-${provider}.json`)

/** The schema of a provider; undefined: the file is not here, which a test has to say aloud. */
export function readTerraformSchema(provider: 'aws' | 'azurerm'): TerraformSchema | undefined {
  const file = schemaFile(provider)
  return existsSync(file) ? terraformSchemaSchema.parse(JSON.parse(readFileSync(file, 'utf8'))) : undefined
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const entriesOf = (value: unknown): readonly (readonly [string, unknown])[] =>
  isObject(value) ? Object.entries(value) : []

export interface TerraformElement {
  readonly kind: 'resource' | 'data'
  readonly type: string
  readonly name: string
  readonly body: Readonly<Record<string, unknown>>
}

/** Every resource and data source of a configuration. */
export function elementsOf(configuration: unknown): readonly TerraformElement[] {
  if (!isObject(configuration)) return []
  return (['resource', 'data'] as const).flatMap((kind) =>
    entriesOf(configuration[kind]).flatMap(([type, named]) =>
      entriesOf(named).map(([name, body]) => ({kind, type, name, body: isObject(body) ? body : {}})),
    ),
  )
}

/** Types of resources that take tags. */
export const isTaggable = (schema: TerraformSchema, type: string): boolean =>
  schema.resources[type]?.block.attributes.tags?.optional === true

/** What a provider would refuse in a configuration before it asks any cloud; empty: nothing. */
export function schemaProblems(configuration: unknown, schema: TerraformSchema): readonly string[] {
  const elements = elementsOf(configuration)
  const providers = isObject(configuration) && isObject(configuration.provider) ? configuration.provider : {}
  const settings = providers[schema.provider]
  const all = Array.isArray(settings) ? settings : settings === undefined ? [] : [settings]
  return [
    ...all.flatMap((body: unknown) =>
      blockProblems(`provider.${schema.provider}`, body, schema.provider_config.block, ['alias']),
    ),
    ...elements.flatMap((element) => elementProblems(element, schema)),
    ...referenceProblems(configuration, elements, schema),
    ...cycleProblems(elements),
  ]
}

const META_ARGUMENTS = ['depends_on', 'lifecycle', 'provider', 'count', 'for_each', 'provisioner', '//']

function elementProblems(element: TerraformElement, schema: TerraformSchema): readonly string[] {
  const {kind, type, name, body} = element
  const at = kind === 'data' ? `data.${type}.${name}` : `${type}.${name}`
  const known = (kind === 'data' ? schema.data_sources : schema.resources)[type]
  if (known === undefined) return [`${at}: the schema knows no such type`]
  return blockProblems(at, body, known.block, META_ARGUMENTS)
}

function blockProblems(
  at: string,
  body: unknown,
  block: Block,
  besides: readonly string[] = [],
): readonly string[] {
  if (!isObject(body)) return [`${at}: is not an object`]
  const given = Object.entries(body).filter(
    ([key, value]) => value !== null && value !== undefined && !besides.includes(key),
  )
  const missing = Object.entries(block.attributes).filter(
    ([key, {required}]) => required && !given.some(([name]) => name === key),
  )
  const tooFew = Object.entries(block.block_types).filter(
    ([key, {min_items: least = 0}]) => least > 0 && !given.some(([name]) => name === key),
  )
  return [
    ...missing.map(([key]) => `${at}.${key}: is required`),
    ...tooFew.map(([key]) => `${at}.${key}: is a required block`),
    ...given.flatMap(([key, value]) => argumentProblems(`${at}.${key}`, key, value, block)),
  ]
}

function argumentProblems(at: string, key: string, value: unknown, block: Block): readonly string[] {
  const attribute = block.attributes[key]
  if (attribute !== undefined) {
    if (!attribute.required && !attribute.optional) return [`${at}: is computed, it cannot be set`]
    return [
      ...(attribute.deprecated ? [`${at}: is deprecated`] : []),
      ...typeProblems(at, value, attribute.type),
    ]
  }
  const nested = block.block_types[key]
  // The files came to us without descriptions, and arguments of that name were lost with them.
  if (nested === undefined && key === 'description') return typeProblems(at, value, 'string')
  if (nested === undefined) return [`${at}: is unknown`]
  return nestedProblems(at, value, nested)
}

function nestedProblems(at: string, value: unknown, nested: BlockType): readonly string[] {
  if (nested.nesting_mode === 'map') {
    return entriesOf(value).flatMap(([key, body]) => blockProblems(`${at}.${key}`, body, nested.block))
  }
  const bodies: readonly unknown[] = Array.isArray(value) ? value : [value]
  const isOne = nested.nesting_mode === 'single' || nested.nesting_mode === 'group'
  const least = nested.min_items ?? 0
  const most = isOne ? 1 : (nested.max_items ?? Infinity)
  return [
    ...(bodies.length < least ? [`${at}: ${bodies.length} blocks, at least ${least} are needed`] : []),
    ...(bodies.length > most ? [`${at}: ${bodies.length} blocks, at most ${most} are allowed`] : []),
    ...bodies.flatMap((body, index) => blockProblems(`${at}[${index}]`, body, nested.block)),
  ]
}

/** Nothing is known of what an expression gives. */
const isExpression = (value: unknown): boolean => typeof value === 'string' && /(?<!\$)\$\{/.test(value)

function typeProblems(at: string, value: unknown, type: unknown): readonly string[] {
  if (value === null || type === 'dynamic' || isExpression(value)) return []
  if (typeof type === 'string') return isPrimitive(value, type) ? [] : [`${at}: ${show(value)} is no ${type}`]
  const [constructor, inner] = Array.isArray(type) ? z.array(z.unknown()).parse(type) : []
  if (constructor === 'list' || constructor === 'set') {
    if (!Array.isArray(value)) return [`${at}: ${show(value)} is no ${constructor}`]
    return value.flatMap((item: unknown, index) => typeProblems(`${at}[${index}]`, item, inner))
  }
  if (!isObject(value)) return [`${at}: ${show(value)} is no ${String(constructor)}`]
  if (constructor === 'map') {
    return Object.entries(value).flatMap(([key, item]) => typeProblems(`${at}["${key}"]`, item, inner))
  }
  if (!isObject(inner)) return [`${at}: the schema has a type that this check does not know`]
  // As an argument, an object has to be given whole.
  return [
    ...Object.keys(inner).flatMap((key) => (key in value ? [] : [`${at}.${key}: is required`])),
    ...Object.entries(value).flatMap(([key, item]) =>
      key in inner ? typeProblems(`${at}.${key}`, item, inner[key]) : [`${at}.${key}: is unknown`],
    ),
  ]
}

/** As Terraform converts: a number or a bool where a string is wanted, and a string that reads as one. */
function isPrimitive(value: unknown, type: string): boolean {
  if (type === 'string') return ['string', 'number', 'boolean'].includes(typeof value)
  if (type === 'bool') return typeof value === 'boolean' || value === 'true' || value === 'false'
  return (
    typeof value === 'number' || (typeof value === 'string' && value !== '' && Number.isFinite(Number(value)))
  )
}

/** `aws_vpc.cluster.id`, `data.aws_ami.image.id`, inside an expression. */
const REFERENCE = /(?<![\w.-])(data\.)?([a-z]+_\w+)\.([A-Za-z_][\w-]*)(?:\[[^\]]*\])?(?:\.([a-z]\w*))?/g

function referenceProblems(
  configuration: unknown,
  elements: readonly TerraformElement[],
  schema: TerraformSchema,
): readonly string[] {
  const there = new Set(elements.map(({kind, type, name}) => `${kind} ${type} ${name}`))
  const references = expressionsIn(configuration).flatMap((text) => [...text.matchAll(REFERENCE)])
  return [
    ...new Set(
      references.flatMap(([text, data, type = '', name = '', attribute]) => {
        const kind = data === undefined ? 'resource' : 'data'
        const known = (kind === 'data' ? schema.data_sources : schema.resources)[type]
        if (known === undefined) return []
        if (!there.has(`${kind} ${type} ${name}`)) return [`${text}: refers to nothing`]
        const {attributes, block_types: blocks} = known.block
        return attribute === undefined || attribute in attributes || attribute in blocks
          ? []
          : [`${text}: has no ${attribute}`]
      }),
    ),
  ]
}

/** Elements that wait for each other, which no plan can be made of. */
function cycleProblems(elements: readonly TerraformElement[]): readonly string[] {
  const addressOf = ({kind, type, name}: Omit<TerraformElement, 'body'>): string =>
    `${kind === 'data' ? 'data.' : ''}${type}.${name}`
  const before = new Map(
    elements.map((element) => {
      const {depends_on: waited} = element.body
      const texts = [...expressionsIn(element.body), ...(Array.isArray(waited) ? waited.map(String) : [])]
      const found = texts.flatMap((text) => [...text.matchAll(REFERENCE)])
      return [addressOf(element), found.map(([, data = '', type, name]) => `${data}${type}.${name}`)]
    }),
  )
  // Whatever waits for nothing that is left is put aside, until all is or what remains goes in a circle.
  for (let size = -1; size !== before.size;) {
    size = before.size
    for (const [address, needs] of before) {
      if (!needs.some((need) => before.has(need))) before.delete(address)
    }
  }
  return before.size === 0 ? [] : [`wait for each other: ${[...before.keys()].sort().join(', ')}`]
}

/** What stands between `${` and `}` anywhere; `$${` is text. */
function expressionsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') {
    return [...value.matchAll(/(?<!\$)\$\{((?:[^{}]|\{[^{}]*\})*)\}/g)].map(([, inner = '']) => inner)
  }
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, item]) => (key === '//' ? [] : expressionsIn(item)))
}

const show = (value: unknown): string => JSON.stringify(value).slice(0, 60)
