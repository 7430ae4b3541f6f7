import {z} from 'zod'

/** Where a secret is read from when it is needed; the value itself never enters a spec, a record or a plan. */
export const secretRefSchema = z.union(
  [z.strictObject({env: z.string().min(1)}), z.strictObject({file: z.string().min(1)})],
  'is neither {env: NAME} nor {file: PATH}',
)
export type SecretRef = Readonly<z.output<typeof secretRefSchema>>

export const bastionSchema = z.strictObject({
  address: z.string().min(1),
  user: z.string().min(1),
  port: z.int().min(1).max(65535).default(22),
  keyPath: z.string().optional(),
  hostKeys: z.array(z.string()).default([]),
})
export type Bastion = Readonly<z.output<typeof bastionSchema>>

export const sshAccessSchema = z.strictObject({
  user: z.string().min(1),
  port: z.int().min(1).max(65535).default(22),
  /** Private key file; absent: the agent of SSH_AUTH_SOCK. */
  keyPath: z.string().optional(),
  /** Known host keys, each `<type> <base64>`; empty: the cluster's known_hosts, then the user's, then first use. */
  hostKeys: z.array(z.string()).default([]),
  /** Password for sudo, where sudo asks for one. */
  sudoPassword: secretRefSchema.optional(),
  bastion: bastionSchema.optional(),
  /** Program and words whose stdin and stdout lead to the machine's sshd; instead of a bastion. */
  proxyCommand: z.array(z.string()).min(1).optional(),
})
export type SshAccess = Readonly<z.output<typeof sshAccessSchema>>

export const taintSchema = z.strictObject({
  key: z.string().min(1),
  value: z.string().default(''),
  effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']),
})
export type Taint = Readonly<z.output<typeof taintSchema>>

/**
 * What every provider gives back for one machine: plain data, no client.
 * The same shape is a stack's `machines` output, the byon inventory and what the record keeps.
 */
export const machineSchema = z.strictObject({
  /** Node name, a DNS label, unique in the cluster. */
  name: z.string().min(1),
  role: z.enum(['control-plane', 'worker']),
  /** Name of the worker pool; absent for control planes. */
  pool: z.string().optional(),
  /** Where SSH reaches it from here: IP address or DNS name. */
  address: z.string().min(1),
  /** IP address that the other nodes use. */
  privateAddress: z.string().min(1),
  ssh: sshAccessSchema,
  labels: z.record(z.string(), z.string()).default({}),
  taints: z.array(taintSchema).default([]),
  /** `aws:///zone/i-…`; absent where no cloud provider runs. */
  providerId: z.string().optional(),
})
export type Machine = Readonly<z.output<typeof machineSchema>>

export interface Endpoint {
  /** What nodes and kubeconfigs inside the network use: `10.0.0.2:6443`, or a load balancer's name. */
  readonly internal: string
  /** What a kubeconfig on this machine uses; the same as `internal` unless the provider publishes a port. */
  readonly external: string
  /** Names and addresses besides the machines' own that the API certificate must carry. */
  readonly certSans: readonly string[]
}

export interface Infrastructure {
  readonly endpoint: Endpoint
  readonly machines: readonly Machine[]
  /** What addons need to know of the cloud, such as networks and file systems; absent outside of clouds. Holds no secret. */
  readonly cloud?: Readonly<Record<string, string>>
}
