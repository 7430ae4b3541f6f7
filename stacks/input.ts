import type {ClusterSpec} from '../src/spec/cluster-spec.ts'
import type {Machine} from '../src/spec/machine.ts'

/** What a stack is synthesised from; the same input gives the same text, byte for byte. */
export interface StackInput {
  /** With the region or location filled in. */
  readonly spec: ClusterSpec
  /** The cluster's public key, `ssh-ed25519 …`. */
  readonly sshPublicKey: string
  /** cloud-init configuration of every node: user, key, host keys. Holds no secret. */
  readonly cloudInit: string
  /**
   * Image of `control-plane` and of each worker pool by name, once it was looked up; by the address of a look-up, what
   * an apply that was cut short had found. Absent: the stack looks it up.
   */
  readonly imageIds: Readonly<Record<string, string>>
}

/** Terraform's JSON configuration, ready to be written as `cdk.tf.json`. */
export type TerraformJson = Readonly<Record<string, unknown>>

/**
 * What the output `machines` of a stack holds for one machine: a Machine without what Terraform cannot know. The key's
 * path and the host keys are filled in by whoever reads it.
 */
export type MachineOutput = Omit<Machine, 'ssh'> & {
  readonly ssh: {readonly user: string; readonly port: number}
  /** What the cloud calls it: `i-…`, a resource id. */
  readonly cloudId: string
  /** Which image it was made from; kept, so that it is not replaced when a newer one appears. */
  readonly imageId: string
}

/** Every output of a stack. Nothing in it is secret. */
export interface StackOutputs {
  readonly machines: readonly MachineOutput[]
  readonly endpoint: {
    /** `host:port` inside the network. */
    readonly internal: string
    /** `host:port` where administrators reach it. */
    readonly external: string
    readonly certSans: readonly string[]
  }
  /** The jump host; absent: none was asked for. */
  readonly bastion?: {readonly address: string; readonly user: string; readonly cloudId: string}
  /** Bucket, or storage account and container, of checkpoints and backups. */
  readonly checkpoints: string
  /** What add-ons need to know: file system, roles, network. */
  readonly addons: Readonly<Record<string, string>>
}
