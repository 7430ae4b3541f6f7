import {z} from 'zod'
import {API_VERSION} from '../../api/names.ts'

const name = z
  .string()
  .max(40)
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, 'at most 40 of a-z, 0-9 and -, a letter or digit at both ends')
const namespace = z
  .string()
  .max(63)
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, 'at most 63 of a-z, 0-9 and -, a letter or digit at both ends')
const port = z.int().min(1).max(65535)
const timeoutSeconds = (usual: number) =>
  z.int().min(1).max(86_400).default(usual).describe('seconds until it has failed')
const path = z.string().min(1).describe('relative to the folder of stack.yaml')

export const sourceSchema = z.strictObject({
  chart: z
    .strictObject({
      path: path.optional().describe('folder or .tgz of a chart, relative to the folder of stack.yaml'),
      repository: z
        .url({protocol: /^https?$/})
        .optional()
        .describe('URL of a chart repository; with `name`, `version` and `digest`'),
      name: z.string().min(1).optional().describe('of the chart in the repository'),
      oci: z
        .string()
        .regex(/^oci:\/\/[^\s]+$/, 'an address that begins with oci://')
        .optional()
        .describe('chart in a registry, `oci://…`; with `version` and `digest`'),
      version: z.string().min(1).optional().describe('exact version of a remote chart'),
      digest: z
        .string()
        .regex(/^sha256:[0-9a-f]{64}$/, 'sha256: and 64 hexadecimal digits')
        .optional()
        .describe('SHA-256 of the archive of a remote chart'),
    })
    .optional()
    .describe('a Helm chart'),
  manifests: path.optional().describe('file or folder of YAML, relative to the folder of stack.yaml'),
  kustomization: path.optional().describe('folder of a kustomization, relative to the folder of stack.yaml'),
})

/** A Job of one container, as hooks and gates run it. */
export const jobSchema = z.strictObject({
  image: z.string().min(1),
  command: z.array(z.string()).default([]),
  args: z.array(z.string()).default([]),
  env: z
    .array(z.looseObject({name: z.string().min(1)}))
    .default([])
    .describe('as in a pod; values of Secrets by `valueFrom`'),
  serviceAccountName: z.string().min(1).optional(),
  timeoutSeconds: timeoutSeconds(600),
})
export type JobTemplate = Readonly<z.output<typeof jobSchema>>

/** Where a request goes: to a URL as this process reaches it, or to a Service through the API server. */
const endpoint = {
  url: z
    .url({protocol: /^https?$/})
    .optional()
    .describe('as the program that applies the stack reaches it'),
  service: z
    .string()
    .min(1)
    .optional()
    .describe('Service in the namespace, reached through the API server; with `port`'),
  port: port.optional(),
}

export const gateSchema = z.strictObject({
  ready: z
    .strictObject({timeoutSeconds: timeoutSeconds(300)})
    .prefault({})
    .describe('all objects are ready by the standard conditions'),
  http: z
    .strictObject({
      ...endpoint,
      path: z.string().startsWith('/').default('/'),
      status: z.int().min(100).max(599).default(200).describe('expected status'),
      timeoutSeconds: timeoutSeconds(120),
    })
    .optional()
    .describe('a GET that must be answered with a status'),
  job: jobSchema.optional().describe('a Job that must succeed'),
  metric: z
    .strictObject({
      ...endpoint,
      query: z
        .string()
        .min(1)
        .describe(
          'PromQL; passes when it returns at least one sample, as an alert fires: `up{job="shop"} == 1`',
        ),
      timeoutSeconds: timeoutSeconds(300),
    })
    .optional()
    .describe('a query to Prometheus'),
})
export type Gate = Readonly<z.output<typeof gateSchema>>

const quantity = z.string().regex(/^\d+(\.\d+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$/, 'a quantity, such as 500m or 2Gi')

export const preflightSchema = z.strictObject({
  storageClass: z
    .union([z.literal(true), z.string().min(1)])
    .optional()
    .describe('a StorageClass by name; true: a default one'),
  rwx: z.string().min(1).optional().describe('a StorageClass by name whose volumes many nodes can write to'),
  loadBalancer: z.boolean().default(false).describe('Services of type LoadBalancer get an address'),
  dns: z.array(z.string().min(1)).default([]).describe('names that must resolve where the stack is applied'),
  nodeLabels: z.record(z.string(), z.string()).default({}).describe('a node that is Ready has all of them'),
  capacity: z
    .strictObject({cpu: quantity.optional(), memory: quantity.optional()})
    .optional()
    .describe('free on all nodes together before the service is installed'),
})
export type Preflight = Readonly<z.output<typeof preflightSchema>>

export const outputSchema = z.strictObject({
  from: z
    .strictObject({
      apiVersion: z.string().min(1),
      kind: z.string().min(1),
      name: z.string().min(1),
      namespace: namespace.optional(),
      jsonPath: z
        .string()
        .min(1)
        .describe('`{.status.loadBalancer.ingress[0].ip}`; of a Secret, `{.data.url}` is decoded'),
    })
    .optional()
    .describe('read from an object when the gate has passed'),
  value: z.unknown().optional().describe('text or a reference'),
  sensitive: z.boolean().default(false).describe('never shown; always true of a Secret'),
})
export type OutputSpec = Readonly<z.output<typeof outputSchema>>

export const serviceSchema = z.strictObject({
  source: sourceSchema,
  namespace: namespace.optional().describe('default: that of the stack'),
  values: z.record(z.string(), z.unknown()).default({}).describe('of a chart; references are allowed'),
  needs: z
    .array(name)
    .default([])
    .describe('services that must be ready before; those whose outputs are used need not be named'),
  preflight: preflightSchema.prefault({}).describe('what the cluster must have, checked before any change'),
  gate: gateSchema.prefault({}).describe('when the service counts as deployed'),
  hooks: z
    .strictObject({
      before: jobSchema.optional().describe('Job that must succeed before objects are applied'),
      after: jobSchema.optional().describe('Job that must succeed after the gate'),
    })
    .prefault({})
    .describe('run when the service changes'),
  outputs: z.record(z.string().min(1), outputSchema).default({}).describe('values for other services'),
})
export type ServiceSpec = Readonly<z.output<typeof serviceSchema>>

export const stackSchema = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal('Stack'),
  metadata: z.strictObject({name}),
  namespace: namespace.optional().describe('of services that name none; default: the name of the stack'),
  services: z.record(name, serviceSchema),
})

/** As the file has it. What an environment changes is checked when it is merged. */
export const stackDocumentSchema = stackSchema.extend({
  environments: z
    .record(name, z.looseObject({}))
    .default({})
    .describe('by name: what differs there, merged as a JSON Merge Patch (RFC 7396)'),
})

/** JSON Schema of stack.yaml, for editors and for `docs/stack.schema.json`. */
export function stackJsonSchema(): Readonly<Record<string, unknown>> {
  return {title: 'clouder stack.yaml', ...z.toJSONSchema(stackDocumentSchema, {io: 'input'})}
}

/** A service of a checked stack. */
export interface Service extends Omit<ServiceSpec, 'namespace' | 'needs'> {
  readonly name: string
  readonly namespace: string
  /** Also those whose outputs it uses. */
  readonly needs: readonly string[]
}

/** A stack that was checked, one environment merged in. */
export interface Stack {
  readonly name: string
  readonly environment?: string | undefined
  readonly services: ReadonlyMap<string, Service>
  /** What it was made from, with defaults, references unresolved; JSON that holds no value of a Secret. */
  readonly document: StackDocument
}
export type StackDocument = z.output<typeof stackSchema>
