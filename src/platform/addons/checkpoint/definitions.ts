import {isDeepStrictEqual} from 'node:util'
import {z} from 'zod'
import {API_VERSION} from '../../../api/names.ts'
import {RESOURCES, type ResourceKind} from '../../../api/resources.ts'
import type {KubeObject} from '../../../kubernetes/types.ts'
import {addonLabels} from './names.ts'
import {PRESENTATION} from './presentation.ts'

const [group = '', version = ''] = API_VERSION.split('/')

type Json = Readonly<Record<string, unknown>>
let made: readonly KubeObject[] | undefined

/** A CustomResourceDefinition for each kind of the group. */
export function checkpointDefinitions(): readonly KubeObject[] {
  return (made ??= allKinds.map(definition))
}

const allKinds = [
  'CheckpointStore',
  'Checkpoint',
  'Restore',
  'Migration',
  'CheckpointPolicy',
  'Runtime',
  'ContainerHost',
] as const satisfies readonly ResourceKind[]

function definition(kind: ResourceKind): KubeObject {
  const {plural, namespaced, schema: whole} = RESOURCES[kind]
  const {shortNames, columns, rules = [], objectRules = [], scale} = PRESENTATION[kind]
  const schema = structural(z.toJSONSchema(whole.shape.spec, {io: 'input'}))
  const status = structural(z.toJSONSchema(whole.shape.status.unwrap(), {io: 'input'}))
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {name: `${plural}.${group}`, labels: addonLabels},
    spec: {
      group,
      scope: namespaced ? 'Namespaced' : 'Cluster',
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        shortNames,
        categories: ['clouder'],
      },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: {status: {}, ...(scale === undefined ? {} : {scale})},
          additionalPrinterColumns: columns.map(({name, type = 'string', jsonPath, priority}) => ({
            name,
            type,
            jsonPath,
            ...(priority === undefined ? {} : {priority}),
          })),
          schema: {
            openAPIV3Schema: {
              type: 'object',
              description: whole.description,
              required: ['spec'],
              ...validations(objectRules),
              properties: {
                spec: {
                  ...schema,
                  ...validations(rules),
                },
                status,
              },
            },
          },
        },
      ],
    },
  }
}

const validations = (rules: readonly (readonly [string, string])[]): Json =>
  rules.length === 0 ? {} : {'x-kubernetes-validations': rules.map(([rule, message]) => ({rule, message}))}

/** Keys of a JSON schema that a structural schema has with the same meaning. */
const kept = [
  'type',
  'description',
  'default',
  'enum',
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'required',
  'pattern',
]

/** Keys that are translated below. */
const translated = ['anyOf', 'properties', 'items', 'additionalProperties', '$schema']

/**
 * A JSON schema as a structural one: no `additionalProperties: false` (unknown fields are pruned), no `anyOf` (its
 * alternatives are mappings with one key each: all keys are there, and a rule says that it is one). Throws TypeError for
 * a rule that would be lost: the API server must not admit what our programs cannot read.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
 */
export function structural(schema: unknown): Json {
  const node = mapping(schema)
  const lost = Object.keys(node).filter((key) => !isKept(key, node))
  if (lost.length > 0) throw new TypeError(`a definition has no ${lost.join(', ')}: ${JSON.stringify(node)}`)
  const {anyOf, properties, items, additionalProperties} = node
  if (Array.isArray(anyOf)) return oneOfKeys(anyOf.map(mapping), node)
  return {
    ...Object.fromEntries(Object.entries(node).filter(([key]) => kept.includes(key))),
    ...(properties === undefined
      ? {}
      : {
          properties: Object.fromEntries(
            Object.entries(mapping(properties)).map(([key, value]) => [key, structural(value)]),
          ),
        }),
    ...(items === undefined ? {} : {items: structural(items)}),
    ...valuesOf(additionalProperties),
  }
}

/** Of a mapping: keys that are not named are kept where any are taken, have a schema, or are pruned. */
function valuesOf(additionalProperties: unknown): Json {
  if (!isMapping(additionalProperties)) return {}
  if (Object.keys(additionalProperties).length === 0) return {'x-kubernetes-preserve-unknown-fields': true}
  return {additionalProperties: structural(additionalProperties)}
}

function oneOfKeys(alternatives: readonly Json[], {description}: Json): Json {
  const keys = alternatives.flatMap(({properties}) => Object.entries(mapping(properties)))
  const names = keys.map(([key]) => key)
  return {
    type: 'object',
    ...(description === undefined ? {} : {description}),
    properties: Object.fromEntries(keys.map(([key, value]) => [key, structural(value)])),
    'x-kubernetes-validations': [
      {
        rule: `[${names.map((key) => `has(self.${key})`).join(', ')}].filter(isSet, isSet).size() == 1`,
        message: `exactly one of ${names.join(', ')} must be set`,
      },
    ],
  }
}

function isKept(key: string, node: Json): boolean {
  if (kept.includes(key) || translated.includes(key)) return true
  // What zod checks by a pattern of its own has a name beside it.
  if (key === 'format') return node['pattern'] !== undefined
  // Every key of a mapping is text.
  return key === 'propertyNames' && isDeepStrictEqual(node[key], {type: 'string'})
}

const isMapping = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const mapping = (value: unknown): Json => (isMapping(value) ? value : {})
