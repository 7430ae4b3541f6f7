import type {Bundle} from '../../bundle/types.ts'
import type {CloudOpener} from '../../infrastructure/clouds/cloud.ts'
import type {ContextStore} from '../../infrastructure/contexts/contexts.ts'
import type {FoundAccount} from '../../infrastructure/contexts/sync.ts'
import type {CostEstimate} from '../../infrastructure/cost/estimate.ts'
import type {PriceCache} from '../../infrastructure/cost/price-cache.ts'
import type {Report} from '../../base/run-events.ts'
import type {PlannedStep} from '../../bootstrap/engine/types.ts'
import type {HostConnector, HostFacts} from '../../bootstrap/hosts/host.ts'
import type {PreflightFinding} from '../../base/errors.ts'
import type {KubeClient, KubeOpener} from '../../kubernetes/types.ts'
import type {MachineChange, Provider} from '../../infrastructure/providers/provider.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {Machine} from '../../spec/machine.ts'
import type {ClusterStore} from '../../store/types.ts'
import type {Renderer} from '../../base/renderer.ts'

/** What workflows are given; each takes the part it uses. Built once, in wiring.ts. */
export interface Tools {
  readonly store: ClusterStore
  readonly connectorFor: (spec: ClusterSpec) => HostConnector
  readonly providerFor: (kind: ClusterSpec['provider']['kind']) => Promise<Provider>
  /** The bundle for a version and architecture, built first when it is not there. Throws BundleError. */
  readonly bundleFor: (kubernetes: string, arch: string, signal: AbortSignal) => Promise<Bundle>
  /** Whether a bundle of this Kubernetes version is there or can be built. Throws BundleError VERSION_NOT_IN_BUNDLE. */
  readonly checkKubernetesVersion: (version: string) => Promise<void>
  readonly openKube: KubeOpener
  readonly openCloud: CloudOpener
  readonly contexts: ContextStore
  readonly prices: PriceCache
  /** Accounts that the clouds' own configuration on this machine leads to. */
  readonly findAccounts: () => Promise<readonly FoundAccount[]>
  readonly renderer: Renderer
  readonly report: Report
  readonly signal: AbortSignal
  readonly now: () => number
  /** Identifies this run in journals and logs: `2026-11-21T09-14-02-init`. */
  readonly run: string
  /** The user's own kubeconfigs, which kubectl reads as one, for `--merge`. */
  readonly userKubeconfigs: readonly string[]
  /** From now on this value appears in no log, event or error. */
  readonly hideSecret: (value: string) => void
  readonly stacks: StackAdapters
}

/** What stacks need besides. */
export interface StackAdapters {
  /** A context of the user's own kubeconfigs; without a name the current one. */
  readonly openContext: (context: string | undefined) => Promise<KubeClient>
  /** Path of a program of the bundle of a Kubernetes version. Throws BundleError. */
  readonly program: (name: 'helm' | 'kubectl', kubernetes: string) => Promise<string>
  /** The part of the environment that helm needs to reach repositories. */
  readonly helmEnvironment: Readonly<Record<string, string>>
  readonly temporaryDir: string
  /** Who holds locks in a cluster: user, machine and process. */
  readonly holder: string
  readonly redact: (text: string) => string
}

/** What it takes to connect to a cluster: to its machines, and to its API server. */
export type SessionTools = Pick<
  Tools,
  | 'bundleFor'
  | 'connectorFor'
  | 'hideSecret'
  | 'now'
  | 'openKube'
  | 'renderer'
  | 'report'
  | 'run'
  | 'signal'
  | 'store'
>

export interface RunFlags {
  readonly dryRun: boolean
  readonly skipPhases: readonly string[]
  readonly ignorePreflight: readonly string[]
  readonly concurrency: number
}

/** `create`: machines only; `setup`: bootstrap on machines that exist; `init`: both. */
export type InitScope = 'create' | 'setup' | 'init'

export interface NodeRow {
  readonly name: string
  readonly role: 'control-plane' | 'worker'
  readonly address: string
  /** `Ready`, `NotReady`, `absent` (no Node object), `unknown` (no API answer). */
  readonly status: string
  readonly version: string | undefined
}

export interface InitResult {
  readonly cluster: string
  /** Steps that ran, or would run. Empty: nothing to do. */
  readonly steps: readonly PlannedStep[]
  readonly machineChanges: readonly MachineChange[]
  /** What a month of the cluster costs; absent: nothing is paid for. */
  readonly cost?: CostEstimate
  /** Whether this was only a plan. */
  readonly dryRun: boolean
  readonly endpoint: string | undefined
  readonly kubeconfig: string | undefined
  readonly kubernetesVersion: string
  readonly nodes: readonly NodeRow[]
  readonly durationMs: number
  readonly log: string
}

export interface JoinHost {
  readonly address: string
  readonly user: string | undefined
  readonly port: number | undefined
  readonly name: string | undefined
  readonly keyPath: string | undefined
  readonly pool: string
}

export interface ClusterRow {
  readonly name: string
  readonly provider: string
  readonly kubernetesVersion: string | undefined
  readonly controlPlanes: number
  readonly workers: number
  readonly endpoint: string | undefined
  readonly isDefault: boolean
  /** What is wrong with the record, when it cannot be read. */
  readonly problem?: string
}

/** The live truth next to the record. */
export interface ClusterDescription {
  readonly cluster: string
  readonly provider: string
  readonly record: {
    readonly kubernetesVersion: string | undefined
    readonly endpoint: string | undefined
    readonly machines: readonly Machine[]
    readonly updatedAt: string
  }
  readonly live: {
    /** `ok`, or why the API server does not answer. */
    readonly api: string
    readonly kubernetesVersion: string | undefined
    readonly nodes: readonly NodeRow[]
  }
  /** Where the two differ, in words. */
  readonly differences: readonly string[]
  readonly kubeconfig: string
}

/** A machine that nothing was done on, because it could not be reached. */
export interface SkippedMachine {
  readonly host: string
  readonly address: string
  /** Why it could not be reached. */
  readonly reason: string
  /** What is left there. */
  readonly remains: string
}

export interface ResetResult {
  readonly cluster: string
  readonly nodes: readonly string[]
  readonly steps: readonly PlannedStep[]
  readonly skipped: readonly SkippedMachine[]
}

export interface TerminateResult {
  readonly cluster: string
  /** Everything that was removed, one line each. */
  readonly removed: readonly string[]
  readonly skipped: readonly SkippedMachine[]
}

export interface SmokeCheck {
  readonly name: string
  readonly passed: boolean
  readonly detail: string
  readonly durationMs: number
}

export interface SmokeResult {
  readonly cluster: string
  readonly passed: boolean
  readonly checks: readonly SmokeCheck[]
}

export interface DoctorResult {
  readonly cluster: string
  readonly healthy: boolean
  readonly findings: readonly PreflightFinding[]
  readonly checks: readonly {readonly host: string; readonly check: string; readonly ok: boolean}[]
  readonly facts: readonly {readonly host: string; readonly facts: HostFacts}[]
}

export interface KubeconfigResult {
  readonly cluster: string
  readonly path: string
  /** Name of the context; set when it was merged into the user's own kubeconfig. */
  readonly mergedContext?: string
  /** The current context of kubectl, now and before. */
  readonly currentContext?: string
  readonly previousContext?: string | undefined
}
