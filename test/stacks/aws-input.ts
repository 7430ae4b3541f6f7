import {specFromDocument} from '../../src/spec/load.ts'
import {synthesiseAws} from '../../stacks/aws.ts'
import type {StackInput} from '../../stacks/input.ts'
import {elementsOf, type TerraformElement} from '../support/terraform-schema.ts'

export const ADMINISTRATORS = '198.51.100.0/24'

/** What stands under `spec` of a document, with the settings of AWS apart. */
export interface AwsDocument {
  readonly name?: string
  readonly aws?: Readonly<Record<string, unknown>>
  readonly spec?: Readonly<Record<string, unknown>>
  readonly imageIds?: StackInput['imageIds']
}

/** What a stack is made from: one control plane and two workers in Frankfurt, unless the document says more. */
export function awsInput({name = 'demo', aws = {}, spec = {}, imageIds = {}}: AwsDocument): StackInput {
  return {
    spec: specFromDocument({
      apiVersion: 'clouder.dev/v1alpha1',
      kind: 'Cluster',
      metadata: {name},
      spec: {
        access: {adminCidrs: [ADMINISTRATORS]},
        ...spec,
        provider: {kind: 'aws', aws: {region: 'eu-central-1', ...aws}},
      },
    }),
    sshPublicKey: `ssh-ed25519 ${'A'.repeat(68)}`,
    cloudInit: '#cloud-config\nusers:\n  - name: clouder\n',
    imageIds,
  }
}

/** The resources and data sources of a stack, and its outputs. */
export interface AwsStack {
  readonly json: Readonly<Record<string, unknown>>
  readonly elements: readonly TerraformElement[]
  /** Those of one type by name. */
  readonly all: (type: string, kind?: TerraformElement['kind']) => Readonly<Record<string, Body>>
  /** One that must be there. */
  readonly one: (type: string, name: string) => Body
  readonly output: (name: string) => unknown
}
type Body = TerraformElement['body']

export function awsStack(document: AwsDocument): AwsStack {
  return stackOf(awsInput(document))
}

export function stackOf(input: StackInput): AwsStack {
  const json = synthesiseAws(input)
  const elements = elementsOf(json)
  const all: AwsStack['all'] = (type, kind = 'resource') =>
    Object.fromEntries(
      elements
        .filter((element) => element.kind === kind && element.type === type)
        .map(({name, body}) => [name, body]),
    )
  return {
    json,
    elements,
    all,
    one: (type, name) => {
      const found = all(type)[name]
      if (found === undefined) throw new Error(`the stack has no ${type}.${name}`)
      return found
    },
    output: (name) => at(json, 'output', name, 'value'),
  }
}

/** What stands at a path of keys; undefined where the path ends early. */
export function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (node, key) => (typeof node === 'object' && node !== null ? Reflect.get(node, key) : undefined),
    value,
  )
}

/** One opening of a firewall, as `tcp 22 from 198.51.100.0/24 to bastion`. */
export function openings({all}: AwsStack): readonly string[] {
  const groupName = (reference: unknown): string =>
    /^\$\{aws_security_group\.(.+)\.id\}$/.exec(String(reference))?.[1] ?? String(reference)
  return Object.values(all('aws_vpc_security_group_ingress_rule')).map((rule) => {
    const {ip_protocol: protocol, from_port: first, to_port: last} = rule
    const from = groupName(rule.cidr_ipv4 ?? rule.cidr_ipv6 ?? rule.referenced_security_group_id)
    const ports = first === last ? String(first) : `${String(first)}-${String(last)}`
    return `${String(protocol)} ${ports} from ${from} to ${groupName(rule.security_group_id)}`
  })
}
