import {z} from 'zod'
import {bastionSchema, secretRefSchema, taintSchema} from './machine.ts'

export const API_VERSION = 'clouder.dev/v1alpha1'
export const DEFAULT_KUBERNETES_VERSION = '1.35.4'

const labels = z.record(z.string(), z.string()).default({})

/** One machine somebody brings. */
export const hostEntrySchema = z.strictObject({
  /** Node name; default: pool and number, `cp-1`, `worker-2`. */
  name: z.string().optional(),
  /** Where SSH reaches it. */
  address: z.string().min(1),
  /** What the other nodes use; default: `address`. */
  privateAddress: z.string().optional(),
  user: z.string().optional(),
  port: z.int().min(1).max(65535).optional(),
  keyPath: z.string().optional(),
  hostKeys: z.array(z.string()).default([]),
  sudoPassword: secretRefSchema.optional(),
  labels,
  taints: z.array(taintSchema).default([]),
})
export type HostEntry = Readonly<z.output<typeof hostEntrySchema>>

export const workerPoolSchema = z.strictObject({
  name: z.string().default('worker'),
  /** Machines to make (local, aws, azure); byon counts its hosts. */
  count: z.int().min(0).max(5000).optional(),
  labels,
  taints: z.array(taintSchema).default([]),
  hosts: z.array(hostEntrySchema).default([]),
})

/** The body of cluster.yaml below `spec:`. Defaults here, cross-field rules in rules.ts. */
export const specBodySchema = z.strictObject({
  provider: z
    .strictObject({
      kind: z.enum(['local', 'byon', 'aws', 'azure']).default('local'),
      local: z
        .strictObject({
          engine: z.enum(['auto', 'docker', 'podman']).default('auto'),
          /** Operating system of the nodes. */
          image: z.enum(['debian-12', 'debian-13']).default('debian-13'),
          /** Network of the nodes; default: a free /24 of 172.30.0.0/16. */
          subnet: z.string().optional(),
        })
        .prefault({}),
    })
    .prefault({}),
  kubernetes: z
    .strictObject({
      version: z.string().default(DEFAULT_KUBERNETES_VERSION),
    })
    .prefault({}),
  controlPlane: z
    .strictObject({
      count: z.int().min(1).max(9).optional(),
      hosts: z.array(hostEntrySchema).default([]),
      /** Whether ordinary pods may run there. */
      schedulable: z.boolean().default(false),
    })
    .prefault({}),
  workers: z.array(workerPoolSchema).default([]),
  network: z
    .strictObject({
      podCidr: z.string().default('10.244.0.0/16'),
      serviceCidr: z.string().default('10.96.0.0/12'),
      dnsDomain: z.string().default('cluster.local'),
      cni: z.enum(['flannel', 'none']).default('flannel'),
    })
    .prefault({}),
  api: z
    .strictObject({
      /** `host` or `host:port` of a load balancer; default: the first control plane's private address. */
      endpoint: z.string().optional(),
      certSans: z.array(z.string()).default([]),
    })
    .prefault({}),
  containerd: z
    .strictObject({
      registryMirrors: z
        .array(
          z.strictObject({
            /** `docker.io`, `registry.k8s.io`, … */
            registry: z.string().min(1),
            endpoints: z.array(z.url()).min(1),
          }),
        )
        .default([]),
    })
    .prefault({}),
  checkpoint: z
    .strictObject({
      enabled: z.boolean().default(true),
      /** What happens to established TCP connections of a dumped process. */
      establishedTcp: z.enum(['close', 'keep']).default('close'),
    })
    .prefault({}),
  ssh: z
    .strictObject({
      user: z.string().default('root'),
      port: z.int().min(1).max(65535).default(22),
      keyPath: z.string().optional(),
      /** `strict` refuses a host whose key is not known; `first-use` pins it and says so. */
      hostKeys: z.enum(['first-use', 'strict']).default('first-use'),
      sudoPassword: secretRefSchema.optional(),
      bastion: bastionSchema.optional(),
    })
    .prefault({}),
  access: z.strictObject({adminCidrs: z.array(z.string()).default([])}).prefault({}),
  addons: z
    .array(z.strictObject({id: z.string().min(1), params: z.record(z.string(), z.unknown()).default({})}))
    .default([]),
  state: z.strictObject({backend: z.enum(['local']).default('local')}).prefault({}),
})

export const clusterDocumentSchema = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal('Cluster'),
  metadata: z.strictObject({name: z.string()}),
  spec: specBodySchema.prefault({}),
})

/** What the user asked for: validated, defaulted, deeply frozen. */
export type ClusterSpec = DeepReadonly<{name: string} & z.output<typeof specBodySchema>>

export type DeepReadonly<T> = T extends (infer E)[]
  ? readonly DeepReadonly<E>[]
  : T extends object
    ? {readonly [K in keyof T]: DeepReadonly<T[K]>}
    : T
