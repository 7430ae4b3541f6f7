import {z} from 'zod'
import {awsSchema, azureSchema, machineShape, stateSchema} from './cloud.ts'
import {storeSpecSchema} from '../api/checkpoint-store.ts'
import {bastionSchema, secretRefSchema, taintSchema} from './machine.ts'

export const API_VERSION = 'clouder.dev/v1alpha1'
export const DEFAULT_KUBERNETES_VERSION = '1.35.4'

const labels = z.record(z.string(), z.string()).default({}).describe('node labels')
const taints = z.array(taintSchema).default([]).describe('node taints')

/** One machine somebody brings. */
export const hostEntrySchema = z.strictObject({
  name: z.string().optional().describe('node name; default: pool and number, `cp-1`, `worker-2`'),
  address: z.string().min(1).describe('IP address or DNS name where SSH reaches the machine'),
  privateAddress: z.string().optional().describe('IP address that the other nodes use; default: `address`'),
  user: z.string().optional().describe('default: `spec.ssh.user`'),
  port: z.int().min(1).max(65535).optional().describe('default: `spec.ssh.port`'),
  keyPath: z.string().optional().describe('private key file; default: `spec.ssh.keyPath`'),
  hostKeys: z.array(z.string()).default([]).describe('host keys to accept, each `<type> <base64>`'),
  sudoPassword: secretRefSchema
    .optional()
    .describe('where the password for sudo is read from; default: `spec.ssh.sudoPassword`'),
  labels,
  taints,
})
export type HostEntry = Readonly<z.output<typeof hostEntrySchema>>

export const workerPoolSchema = z.strictObject({
  name: z.string().default('worker').describe('nodes are called `<name>-1`, `<name>-2`, …'),
  count: z
    .int()
    .min(0)
    .max(5000)
    .optional()
    .describe('machines to create; default: 1, with provider byon the number of hosts'),
  ...machineShape,
  spot: z
    .boolean()
    .default(false)
    .describe('cheaper machines that the cloud can reclaim; aws and azure only'),
  labels,
  taints,
  hosts: z.array(hostEntrySchema).default([]).describe('your own machines; only with provider byon'),
})

/** The body of cluster.yaml below `spec:`. Defaults here, cross-field rules in rules.ts. */
export const specBodySchema = z.strictObject({
  provider: z
    .strictObject({
      kind: z.enum(['local', 'byon', 'aws', 'azure']).default('local').describe('where machines come from'),
      local: z
        .strictObject({
          engine: z.enum(['auto', 'docker', 'podman']).default('auto').describe('container engine'),
          image: z
            .enum(['debian-12', 'debian-13'])
            .default('debian-13')
            .describe('operating system of the nodes'),
          subnet: z
            .string()
            .optional()
            .describe('network of the nodes; default: a free /24 of 172.30.0.0/16'),
        })
        .prefault({}),
      aws: awsSchema.prefault({}).describe('with provider aws'),
      azure: azureSchema.prefault({}).describe('with provider azure'),
    })
    .prefault({}),
  kubernetes: z
    .strictObject({
      version: z.string().default(DEFAULT_KUBERNETES_VERSION).describe('one exact version, in quotes'),
    })
    .prefault({}),
  controlPlane: z
    .strictObject({
      count: z
        .int()
        .min(1)
        .max(9)
        .optional()
        .describe('an odd number; default: 1, with provider byon the number of hosts'),
      ...machineShape,
      hosts: z.array(hostEntrySchema).default([]).describe('your own machines; only with provider byon'),
      schedulable: z.boolean().default(false).describe('whether ordinary pods may run on control planes'),
    })
    .prefault({}),
  workers: z
    .array(workerPoolSchema)
    .default([])
    .describe('worker pools; default: one pool of 2 machines, with provider byon none'),
  network: z
    .strictObject({
      podCidr: z.string().default('10.244.0.0/16').describe('addresses of pods: a /24 for each node'),
      serviceCidr: z.string().default('10.96.0.0/12').describe('addresses of services: /12 to /28'),
      dnsDomain: z.string().default('cluster.local').describe('DNS domain of services'),
      cni: z
        .enum(['flannel', 'none'])
        .default('flannel')
        .describe('pod network to install; `none`: you install your own'),
      policies: z
        .boolean()
        .optional()
        .describe(
          'whether NetworkPolicies are enforced, by the addon `network-policies`; default: true, with the profile `minimal` false',
        ),
    })
    .prefault({}),
  api: z
    .strictObject({
      endpoint: z
        .string()
        .optional()
        .describe(
          "`host` or `host:port` of a load balancer; default: the first control plane's private address",
        ),
      certSans: z
        .array(z.string())
        .default([])
        .describe('additional names and addresses for the API server certificate'),
    })
    .prefault({}),
  proxy: z
    .strictObject({
      httpProxy: z
        .string()
        .optional()
        .describe('`http://host:port` for plain HTTP of containerd, the kubelet and the control plane'),
      httpsProxy: z
        .string()
        .optional()
        .describe('`http://host:port` for HTTPS of containerd, the kubelet and the control plane'),
      noProxy: z
        .array(z.string())
        .default([])
        .describe(
          "additional hosts, `.domains` and networks to reach directly; the API server, the control planes' networks, pods and services always are",
        ),
    })
    .prefault({}),
  containerd: z
    .strictObject({
      registryMirrors: z
        .array(
          z.strictObject({
            registry: z.string().min(1).describe('`docker.io`, `registry.k8s.io`, …'),
            endpoints: z
              .array(z.url())
              .min(1)
              .describe('http or https URLs, tried in order, without credentials'),
          }),
        )
        .default([])
        .describe('registry mirrors to pull images from'),
    })
    .prefault({}),
  checkpoint: z
    .strictObject({
      enabled: z.boolean().default(true).describe('whether to set up nodes for checkpoint and restore'),
      establishedTcp: z
        .enum(['close', 'keep'])
        .default('close')
        .describe('what happens to established TCP connections of a checkpointed process'),
      dumpMemoryPercent: z
        .int()
        .min(0)
        .max(80)
        .default(50)
        .describe(
          'most of a node’s memory, in percent, that dumps may take until they are stored or sent; they are written to the disk when they do not fit into what is free, on nodes with swap space, and with 0',
        ),
      volumeLimitGibibytes: z
        .int()
        .min(0)
        .max(1024)
        .default(4)
        .describe(
          'how much the emptyDir volumes and the shared memory of a pod may have together to be part of its checkpoints, in GiB; 0: they are part of none',
        ),
      restore: z
        .enum(['handler', 'trusted-images'])
        .default('handler')
        .describe(
          'how pods are restored; `trusted-images`: on machines with the label `clouder.dev/checkpoint-images: "true"` also from images, by an experimental feature of containerd 2.1 to 2.3 that runs what is in them with the privileges they had',
        ),
      store: storeSpecSchema
        .default({node: {}})
        .describe('where checkpoints are stored by default: the CheckpointStore `default`'),
    })
    .prefault({}),
  addons: z
    .strictObject({
      profile: z
        .enum(['minimal', 'standard', 'full'])
        .default('standard')
        .describe('which addons `init` installs; `minimal`: those without which no pod runs'),
      install: z.array(z.string()).default([]).describe('addons to install besides, by id'),
      without: z.array(z.string()).default([]).describe('addons of the profile to leave out, by id'),
      parameters: z
        .record(z.string(), z.record(z.string(), z.unknown()))
        .default({})
        .describe('parameters of addons, by id; the page of an addon lists them'),
    })
    .prefault({}),
  ssh: z
    .strictObject({
      user: z.string().default('root').describe('login user; users other than root need sudo'),
      port: z.int().min(1).max(65535).default(22),
      keyPath: z.string().optional().describe('private key file, `~/` allowed; default: the SSH agent'),
      hostKeys: z
        .enum(['first-use', 'strict'])
        .default('first-use')
        .describe('`strict` refuses a host whose key is not known; `first-use` pins the key and reports it'),
      sudoPassword: secretRefSchema
        .optional()
        .describe('where the password for sudo is read from: `{env: NAME}` or `{file: PATH}`'),
      bastion: bastionSchema.optional().describe('jump host for all machines'),
    })
    .prefault({}),
  access: z
    .strictObject({
      adminCidrs: z
        .array(z.string())
        .default([])
        .describe('networks that administrators connect from; required where something has a public address'),
      allowWorld: z
        .boolean()
        .default(false)
        .describe('whether `adminCidrs` may hold 0.0.0.0/0 or ::/0, the whole internet'),
    })
    .prefault({}),
  state: stateSchema.prefault({}),
})

export const clusterDocumentSchema = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal('Cluster'),
  metadata: z.strictObject({
    name: z.string().describe('name of the cluster, a DNS label; can also be given on the command line'),
  }),
  spec: specBodySchema.prefault({}),
})

/** What the user asked for: validated, defaulted, deeply frozen. */
export type ClusterSpec = DeepReadonly<{name: string} & z.output<typeof specBodySchema>>

export type DeepReadonly<T> = T extends (infer E)[]
  ? readonly DeepReadonly<E>[]
  : T extends object
    ? {readonly [K in keyof T]: DeepReadonly<T[K]>}
    : T
