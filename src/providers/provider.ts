import type {Report} from '../engine/types.ts'
import type {ClusterSpec} from '../spec/cluster-spec.ts'
import type {Infrastructure} from '../spec/machine.ts'
import type {ClusterPaths} from '../store/types.ts'

export interface ProviderContext {
  readonly paths: ClusterPaths
  readonly report: Report
  readonly signal: AbortSignal
}

export interface MachineChange {
  readonly action: 'create' | 'start' | 'replace' | 'remove'
  readonly what: string
  readonly reason: string
}

/** Where machines come from. What it returns is plain data; everything after is one path. */
export interface Provider {
  readonly kind: ClusterSpec['provider']['kind']
  /** What `provision` would change; reads only. */
  plan(spec: ClusterSpec, context: ProviderContext): Promise<readonly MachineChange[]>
  /** Makes what is missing, keeps what is there; idempotent. */
  provision(spec: ClusterSpec, context: ProviderContext): Promise<Infrastructure>
  /** What is there now; undefined: nothing. Reads only. */
  inspect(spec: ClusterSpec, context: ProviderContext): Promise<Infrastructure | undefined>
  /** Removes everything it made for the cluster, by ownership label, and proves it gone. */
  destroy(name: string, context: ProviderContext): Promise<readonly string[]>
}
