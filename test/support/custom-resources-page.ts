import {z} from 'zod'
import {API_VERSION} from '../../src/api/names.ts'
import {checkpointDefinitions} from '../../src/platform/addons/checkpoint/definitions.ts'

const fieldSchema = z.looseObject({
  type: z.string(),
  description: z.string().optional(),
  default: z.unknown().optional(),
  enum: z.array(z.unknown()).optional(),
  pattern: z.string().optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  required: z.array(z.string()).default([]),
  properties: z.record(z.string(), z.unknown()).optional(),
  items: z.unknown().optional(),
  additionalProperties: z.unknown().optional(),
})
type Field = z.output<typeof fieldSchema>

const definitionSchema = z.looseObject({
  spec: z.looseObject({
    scope: z.string(),
    names: z.looseObject({kind: z.string(), plural: z.string(), shortNames: z.array(z.string())}),
    versions: z.tuple([
      z.looseObject({
        schema: z.looseObject({
          openAPIV3Schema: z.looseObject({
            description: z.string(),
            properties: z.record(z.string(), z.unknown()),
          }),
        }),
      }),
    ]),
  }),
})

/** A field of a kind, by its path: `spec.hooks`, `status.containers[].name`. */
export interface NamedField {
  readonly path: string
  readonly field: Field
  readonly isRequired: boolean
}

/** Every field below an object, each before those inside it. */
export function fieldsBelow(schema: unknown, path: string): readonly NamedField[] {
  const {properties = {}, required} = fieldSchema.parse(schema)
  return Object.entries(properties).flatMap(([key, value]) => {
    const field = fieldSchema.parse(value)
    const own = path === '' ? key : `${path}.${key}`
    return [{path: own, field, isRequired: required.includes(key)}, ...inside(field, own)]
  })
}

function inside({items, additionalProperties, ...field}: Field, path: string): readonly NamedField[] {
  if (items !== undefined) return fieldsBelow(items, `${path}[]`)
  if (additionalProperties !== undefined) return fieldsBelow(additionalProperties, `${path}.*`)
  return fieldsBelow(field, path)
}

/** Kinds with their fields, as the definitions have them. */
export const kindsOfDefinitions = () =>
  checkpointDefinitions().map((definition) => {
    const {scope, names, versions} = definitionSchema.parse(definition).spec
    const {description, properties} = versions[0].schema.openAPIV3Schema
    return {...names, scope, description, fields: fieldsBelow({type: 'object', properties}, '')}
  })

/** docs/reference-custom-resources.md, as Prettier would have it. */
export function customResourcesPage(): string {
  return [
    '# Custom resources',
    '',
    `Every field of the kinds of \`${API_VERSION}\`. Generated from the schemas in \`src/api\`; \`UPDATE_GOLDEN=1 npx vitest run --project unit test/unit/platform\` writes it. \`clouder kubectl -- explain checkpoint.spec\` shows the same.`,
    '',
    ...kindsOfDefinitions().flatMap(({kind, plural, shortNames, scope, description, fields}) => [
      `## ${kind}`,
      '',
      `${description} ${scope === 'Namespaced' ? 'It is in a namespace' : 'It is of the whole cluster'}; \`kubectl get ${plural}\`, short \`${shortNames.join(', ')}\`.`,
      '',
      ...fields.map(lineOf),
      '',
    ]),
  ]
    .join('\n')
    .trimEnd()
    .concat('\n')
}

function lineOf({path, field, isRequired}: NamedField): string {
  const depth = path.split('.').length - 1
  const {description = ''} = field
  const facts = [typeOf(field), ...(isRequired ? ['required'] : []), ...defaultOf(field)]
  return `${'  '.repeat(depth)}- \`${path}\` (${facts.join(', ')}): ${description}`
}

function typeOf({type, items, additionalProperties}: Field): string {
  if (items !== undefined) return `list of ${typeOf(fieldSchema.parse(items))}`
  if (additionalProperties !== undefined) return `map of ${typeOf(fieldSchema.parse(additionalProperties))}`
  return type
}

const defaultOf = ({default: value}: Field): readonly string[] =>
  value === undefined ? [] : [`default \`${JSON.stringify(value)}\``]
