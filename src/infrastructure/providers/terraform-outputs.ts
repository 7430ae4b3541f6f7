import {z} from 'zod'
import {TerraformError} from '../../terraform/errors.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import {machineSchema, type Infrastructure, type Machine} from '../../spec/machine.ts'

/** `StackOutputs` of stacks/input.ts, as Terraform gives it back. */
const outputsSchema = z.looseObject({
  machines: z.array(
    machineSchema.omit({ssh: true}).extend({
      ssh: z.object({user: z.string().min(1), port: z.int().default(22)}),
      cloudId: z.string().min(1),
      imageId: z.string().min(1),
    }),
  ),
  endpoint: z.object({internal: z.string(), external: z.string(), certSans: z.array(z.string())}),
  bastion: z.object({address: z.string(), user: z.string(), cloudId: z.string()}).nullish(),
  addons: z.record(z.string(), z.string()).default({}),
})
export type ClusterOutputs = z.output<typeof outputsSchema>

/** `terraform output -json`: each value beside its type. */
const wrappedSchema = z.record(
  z.string(),
  z.looseObject({value: z.unknown().optional(), sensitive: z.boolean()}),
)

/** Outputs of a stack, checked. Throws TerraformError TERRAFORM_FAILED naming what does not fit. */
export function parseOutputs(outputs: unknown): ClusterOutputs {
  const parsed = outputsSchema.safeParse(outputs)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map(({path, message}) => `${path.join('.')}: ${message}`)
  throw new TerraformError(
    'TERRAFORM_FAILED',
    `invalid Terraform outputs of a cluster: ${problems.slice(0, 3).join('; ')}`,
    {
      cause: parsed.error,
      suggestions: ['pass the outputs of the stack of this cluster: terraform output -json > outputs.json'],
    },
  )
}

/** The values alone, where they come as `terraform output -json` prints them. */
export function unwrapped(outputs: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const wrapped = wrappedSchema.safeParse(outputs)
  if (!wrapped.success) return outputs
  return Object.fromEntries(Object.entries(wrapped.data).map(([name, {value}]) => [name, value]))
}

/** What the cloud calls everything that SSH talks to. */
export function cloudIdsOf({machines, bastion}: ClusterOutputs): readonly string[] {
  return [...machines.map(({cloudId}) => cloudId), ...(bastion == null ? [] : [bastion.cloudId])]
}

/** Machines as everything after takes them. */
export function infrastructureOf(
  outputs: ClusterOutputs,
  spec: ClusterSpec,
  how: {readonly keyPath: string; readonly hostKeys: ReadonlyMap<string, readonly string[]>},
): Infrastructure {
  const keysOf = (cloudId: string) => [...(how.hostKeys.get(cloudId) ?? [])]
  const bastion =
    outputs.bastion == null
      ? undefined
      : {
          address: outputs.bastion.address,
          user: outputs.bastion.user,
          port: 22,
          keyPath: how.keyPath,
          hostKeys: keysOf(outputs.bastion.cloudId),
        }
  const machines = outputs.machines.map(({cloudId, imageId: _, ssh, ...machine}): Machine => {
    const proxyCommand = proxyCommandOf(spec, cloudId)
    return {
      ...machine,
      ssh: {
        ...ssh,
        keyPath: how.keyPath,
        hostKeys: keysOf(cloudId),
        ...(bastion === undefined ? {} : {bastion}),
        ...(proxyCommand === undefined ? {} : {proxyCommand: [...proxyCommand]}),
      },
    }
  })
  return {endpoint: outputs.endpoint, machines, cloud: outputs.addons}
}

/** SSH through AWS Session Manager: the AWS CLI and its plugin carry the connection. */
function proxyCommandOf({provider}: ClusterSpec, cloudId: string): readonly string[] | undefined {
  const {bastion, network, region, profile} = provider.aws
  if (provider.kind !== 'aws' || bastion !== 'ssm' || network.mode !== 'private') return undefined
  return [
    ...['aws', 'ssm', 'start-session', '--target', cloudId],
    ...['--document-name', 'AWS-StartSSHSession', '--parameters', 'portNumber=22'],
    ...(region === undefined ? [] : ['--region', region]),
    ...(profile === undefined ? [] : ['--profile', profile]),
  ]
}
