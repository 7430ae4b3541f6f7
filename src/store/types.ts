import {z} from 'zod'
import {machineSchema} from '../spec/machine.ts'

export const clusterRecordSchema = z.strictObject({
  version: z.literal(1),
  name: z.string(),
  createdAt: z.string(),
  updatedAt: z.string(),
  provider: z.enum(['local', 'byon', 'aws', 'azure']),
  /** The document as validated, so that later commands need no --config. No secrets: those are references. */
  document: z.unknown(),
  endpoint: z
    .strictObject({internal: z.string(), external: z.string(), certSans: z.array(z.string())})
    .optional(),
  machines: z.array(machineSchema).default([]),
  /** Machines added by `join`, beside those of the spec. */
  joined: z.array(machineSchema).default([]),
  /** What addons need to know of the cloud; absent outside of clouds, and in records of earlier versions. No secrets. */
  cloud: z.record(z.string(), z.string()).optional(),
  kubernetesVersion: z.string().optional(),
  /** When `kubeadm init` was seen to have ended well. */
  initialisedAt: z.string().optional(),
})
export type ClusterRecord = Readonly<z.output<typeof clusterRecordSchema>>

export interface ClusterPaths {
  readonly dir: string
  readonly record: string
  readonly knownHosts: string
  readonly kubeconfig: string
  /** Private key made for machines that clouder makes itself. */
  readonly sshKey: string
  readonly journal: string
  readonly logs: string
}

export interface LockOwner {
  readonly pid: number
  readonly host: string
  readonly command: string
  readonly startedAt: string
  readonly expiresAt: string
}

/** What is remembered between runs: an address book and a cache, never the truth. */
export interface ClusterStore {
  /** Throws StateError RECORD_INVALID or RECORD_NEWER. */
  load(name: string): Promise<ClusterRecord | undefined>
  list(): Promise<readonly string[]>
  /** Deletes the cluster's folder. */
  remove(name: string): Promise<void>
  /** Atomic and schema-checked; `change` gets undefined when there is no record yet. */
  update(name: string, change: (record: ClusterRecord | undefined) => ClusterRecord): Promise<ClusterRecord>
  /** One run per cluster at a time; a lock whose owner is dead or expired is taken over. Throws StateError LOCKED. */
  lock(name: string, command: string): Promise<AsyncDisposable>
  paths(name: string): ClusterPaths
  defaultCluster(): Promise<string | undefined>
  setDefaultCluster(name: string | undefined): Promise<void>
}
