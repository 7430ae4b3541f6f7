import type {Report} from '../../base/run-events.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {Infrastructure, Machine} from '../../spec/machine.ts'
import type {ClusterPaths} from '../../store/types.ts'
import type {TerraformPlan} from '../../terraform/types.ts'

export interface ProviderContext {
  readonly paths: ClusterPaths
  readonly report: Report
  readonly signal: AbortSignal
  /** Nothing may be written, in the cluster's folder neither: others may work on it. Default false: its lock is held. */
  readonly readOnly?: boolean
}

export interface MachineChange {
  readonly action: 'create' | 'start' | 'update' | 'replace' | 'remove'
  readonly what: string
  readonly reason: string
  /** Name of the machine, where `what` is one. */
  readonly machine?: string
  /**
   * Role of a node that was finished before and is down meanwhile, or for ever; absent: it is new or goes on running,
   * or everything is removed.
   */
  readonly interrupts?: Machine['role']
}

/** Where machines come from. What it returns is plain data; everything after is one path. */
export interface Provider {
  readonly kind: ClusterSpec['provider']['kind']
  /** For infra commands; absent where no Terraform stands behind. */
  readonly infra?: Infra
  /**
   * The spec with what it leaves to the surroundings: region, account. `before`: as it was applied last.
   * Throws StateError CLUSTER_MISMATCH where the two are of different places.
   */
  complete?(
    spec: ClusterSpec,
    before: ClusterSpec | undefined,
    context: ProviderContext,
  ): Promise<ClusterSpec>
  /** What `provision` would change; reads only. */
  plan(spec: ClusterSpec, context: ProviderContext): Promise<readonly MachineChange[]>
  /** Makes what is missing, keeps what is there; idempotent. */
  provision(spec: ClusterSpec, context: ProviderContext): Promise<Infrastructure>
  /** What is there now; undefined: nothing. Reads only. */
  inspect(spec: ClusterSpec, context: ProviderContext): Promise<Infrastructure | undefined>
  /** Removes everything it made for the cluster, by ownership label, and proves it gone. `spec`: as applied last. */
  destroy(name: string, context: ProviderContext, spec?: ClusterSpec): Promise<readonly string[]>
}

export interface InfraPlanOptions {
  /** `apply`: what the spec asks for; `destroy`: all of it away; `drift`: the cloud against the state. */
  readonly goal: 'apply' | 'destroy' | 'drift'
  /** Where the plan is saved beside, for whoever applies it later. */
  readonly saveTo?: string
  /** Machines that alone are planned, by name. Default: everything. */
  readonly only?: readonly string[]
}

/** A provider's Terraform, looked at more closely than machines. */
export interface Infra {
  /** The configuration as `cdk.tf.json` holds it. */
  synthesise(spec: ClusterSpec, context: ProviderContext): Promise<Readonly<Record<string, unknown>>>
  plan(spec: ClusterSpec, context: ProviderContext, options: InfraPlanOptions): Promise<TerraformPlan>
  /** Applies a plan that was saved, nothing else, once its changes are agreed to. */
  apply(
    planFile: string,
    spec: ClusterSpec,
    context: ProviderContext,
    agree: (changes: readonly MachineChange[]) => Promise<void>,
  ): Promise<Infrastructure | undefined>
  /** Outputs by name; undefined: nothing was applied yet. */
  outputs(spec: ClusterSpec, context: ProviderContext): Promise<Readonly<Record<string, unknown>> | undefined>
  /** Machines of outputs that Terraform gave elsewhere, their host keys read from the cloud. */
  fromOutputs(
    outputs: Readonly<Record<string, unknown>>,
    spec: ClusterSpec,
    context: ProviderContext,
  ): Promise<Infrastructure>
}
