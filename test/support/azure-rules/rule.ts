import type {TerraformElement} from '../terraform-schema.ts'

export type Body = Readonly<Record<string, unknown>>

/** Something that the schema of the provider does not say, and that a plan or Azure itself refuses. */
export interface AzureRule {
  readonly resource: string
  /** A sentence; it names the test too. */
  readonly rule: string
  /** Who refuses it: the provider while it plans, while it applies, or Azure. */
  readonly refusedBy: 'plan' | 'apply' | 'Azure'
  readonly holds: (body: Body, found: Found, name: string) => boolean
  /** A body that breaks it, made from a good one. */
  readonly broken: (body: Body) => Body
  /** Which resource to break, where not every one will do. */
  readonly where?: (body: Body) => boolean
}

/** All of a configuration. */
export class Found {
  readonly elements: readonly TerraformElement[]

  constructor(elements: readonly TerraformElement[]) {
    this.elements = elements
  }

  of(type: string): readonly TerraformElement[] {
    return this.elements.filter((element) => element.kind === 'resource' && element.type === type)
  }

  /** What `${type.name.attribute}` refers to. */
  behind(reference: unknown): TerraformElement | undefined {
    const [, data, type, name] = /\$\{(data\.)?(\w+)\.([\w-]+)\./.exec(textOf(reference)) ?? []
    const kind = data === undefined ? 'resource' : 'data'
    return this.elements.find(
      (element) => element.kind === kind && element.type === type && element.name === name,
    )
  }
}

/** Rules that a configuration breaks, with the resource. */
export function brokenRules(found: Found, rules: readonly AzureRule[]): readonly string[] {
  return rules.flatMap(({resource, rule, holds}) =>
    found
      .of(resource)
      .flatMap(({name, body}) => (holds(body, found, name) ? [] : [`${resource}.${name}: ${rule}`])),
  )
}

export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')
export const numberOf = (value: unknown): number => (typeof value === 'number' ? value : Number.NaN)

export function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  return value === undefined ? [] : [value]
}

export const textsOf = (value: unknown): readonly string[] => listOf(value).map(textOf)

/** Blocks of one kind; Terraform takes one also without its list. */
export function blocksOf(value: unknown): readonly Body[] {
  return listOf(value).flatMap((one) =>
    typeof one === 'object' && one !== null ? [Object.fromEntries<unknown>(Object.entries(one))] : [],
  )
}

export const blockOf = (value: unknown): Body => blocksOf(value)[0] ?? {}
export const isSet = (value: unknown): boolean => listOf(value).length > 0
export const exactlyOne = (body: Body, ...names: readonly string[]): boolean =>
  names.filter((name) => isSet(body[name])).length === 1
export const areUnique = (values: readonly unknown[]): boolean => new Set(values).size === values.length
