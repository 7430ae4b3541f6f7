import {createHash} from 'node:crypto'
import type {TerraformElement, TerraformStack} from 'cdktf'
import type {ClusterSpec} from '../../src/spec/cluster-spec.ts'
import type {StackInput} from '../input.ts'
import {literal} from '../synth.ts'

export type Aws = ClusterSpec['provider']['aws']
export type Tags = Record<string, string>

/** Roles that nodes have; each has one security group and one instance profile. */
export const NODE_ROLES = ['control-plane', 'worker'] as const
export type NodeRole = (typeof NODE_ROLES)[number]

/** The second part of every ARN. */
export type Partition = 'aws' | 'aws-cn' | 'aws-us-gov'

/** What every part of the AWS stack is made in. */
export interface Frame {
  readonly stack: TerraformStack
  /** With every text of the user as Terraform takes it: without interpolation. */
  readonly input: StackInput
  readonly spec: ClusterSpec
  readonly aws: Aws
  readonly region: string
  readonly partition: Partition
}

/** The stack with region and partition; throws TypeError for a spec whose region nobody filled in. */
export function frameOf(stack: TerraformStack, asked: StackInput): Frame {
  const input = withLiterals(asked)
  const {spec} = input
  const {aws} = spec.provider
  if (aws.region === undefined) throw new TypeError('spec.provider.aws.region is not filled in')
  return {stack, input, spec, aws, region: aws.region, partition: partitionOf(aws.region)}
}

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html */
function partitionOf(region: string): Partition {
  if (region.startsWith('cn-')) return 'aws-cn'
  return region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws'
}

type Kind<Config, Element> = (new (scope: TerraformStack, id: string, config: Config) => Element) & {
  readonly tfResourceType: string
}

/** Makes a resource or data source at `<type>.<name>`; several types may share a name. */
export function add<Config, Element extends TerraformElement>(
  {stack}: Frame,
  kind: Kind<Config, Element>,
  name: string,
  config: Config,
): Element {
  const element = new kind(stack, `${kind.tfResourceType}:${name}`, config)
  // Identifiers of Terraform do not begin with a digit, names of pools may; no DNS label has the underscore.
  element.overrideLogicalId(/^\d/.test(name) ? `_${name}` : name)
  return element
}

/**
 * Tags of the user and, over them, those by which clouder and the controllers in the cluster know what is the
 * cluster's.
 */
export function tagsOf({spec, aws}: Frame, name: string, more: Tags = {}): Tags {
  return {
    ...aws.tags,
    Name: `${spec.name}-${name}`,
    ...more,
    'clouder.dev/cluster': spec.name,
    'clouder.dev/managed-by': 'clouder',
    [`kubernetes.io/cluster/${spec.name}`]: 'owned',
  }
}

/** `clouder-<cluster>-<what>`, with a digest of it all at the end where that is too long. */
export function namedWithin(limit: number, {spec}: Frame, what: string): string {
  const whole = ['clouder', spec.name, what].filter((part) => part !== '').join('-')
  if (whole.length <= limit) return whole
  const digest = createHash('sha256').update(whole).digest('hex').slice(0, 8)
  return `${whole.slice(0, limit - 9).replace(/-+$/, '')}-${digest}`
}

function withLiterals(input: StackInput): StackInput {
  const copy = structuredClone(input)
  escapeIn(copy)
  return copy
}

function escapeIn(node: object): void {
  const entries: readonly (readonly [string, unknown])[] = Object.entries(node)
  for (const [key, value] of entries) {
    if (literal(key) !== key) Reflect.deleteProperty(node, key)
    if (typeof value === 'string') Reflect.set(node, literal(key), literal(value))
    else if (typeof value === 'object' && value !== null) {
      escapeIn(value)
      Reflect.set(node, literal(key), value)
    }
  }
}
