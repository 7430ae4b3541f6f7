import type {Report} from '../../base/run-events.ts'
import type {Host, HostReader} from '../hosts/host.ts'

/** What a running step may use beside its host. */
export interface StepContext {
  readonly signal: AbortSignal
  /** Tells how far a long step is; shown beside its summary. */
  progress(text: string): void
}

interface StepText {
  /** What is done, imperative: `write /etc/containerd/config.toml`. */
  readonly summary: string
  /** Why it is needed, from what was observed: `differs from the rendered configuration`. */
  readonly reason: string
}

/** One change on one host. */
export interface HostStep extends StepText {
  readonly on: HostReader
  run(host: Host, context: StepContext): Promise<void>
}

/** One change that belongs to no single host. `Tools` is what the workflow gives to such steps. */
export interface ClusterStep<Tools> extends StepText {
  readonly on?: undefined
  run(tools: Tools, context: StepContext): Promise<void>
}

export type Step<Tools = unknown> = HostStep | ClusterStep<Tools>

/**
 * A named goal. `plan` holds readers only and returns the steps still needed; none when the goal is met.
 * Law: after the steps of a plan ran, `plan` returns none.
 */
export interface Phase<Context, Tools = unknown> {
  /** Stable, kebab-case noun of the goal: `kubeadm-init`. */
  readonly id: string
  /** `Initialising the first control plane`. */
  readonly title: string
  plan(context: Context, signal: AbortSignal): Promise<readonly Step<Tools>[]>
  /** Evidence to show when a step of this phase failed: the last meaningful lines of a log. */
  diagnose?(context: Context, failure: {host: HostReader | undefined; error: Error}): Promise<string>
}

export interface JournalEntry {
  /** ISO 8601, UTC. */
  readonly time: string
  readonly run: string
  readonly phase: string
  readonly step: string
  readonly host?: string
  /** Hex sha256 of phase, step, reason and host: equal inputs, equal hash. */
  readonly inputHash: string
  readonly event: 'start' | 'done' | 'failed'
  readonly durationMs?: number
  readonly message?: string
}

/** Remembers each step's start and end, here and on the node; never the truth, only its history. */
export interface Journal {
  record(entry: JournalEntry, host: Host | undefined): Promise<void>
  /** Resolves when everything recorded so far is on the nodes too. */
  flush(): Promise<void>
}

export interface RunOptions<Tools> {
  readonly report: Report
  readonly signal: AbortSignal
  /** Plan only; no step runs, nothing changes. */
  readonly dryRun: boolean
  /** Hosts worked on at the same time. */
  readonly concurrency: number
  /** Phase ids to leave out; an unknown id is a ConfigError. */
  readonly skip: readonly string[]
  readonly journal: Journal
  readonly run: string
  /** The changeable host behind a reader's name. */
  readonly hostFor: (name: string) => Host
  readonly tools: Tools
  readonly now: () => number
}

/** Begins a round of planning phases side by side, before their turn. */
export type Ahead<Context> = (context: Context) => AheadRound<Context>

export interface AheadRound<Context> {
  /** The context to plan one phase with; `tell` reports what the phase noted meanwhile. */
  forPhase(): {readonly context: Context; readonly tell: () => void}
  /** What was read in this round is not true any more. */
  end(): void
}

export interface PlannedStep {
  readonly phase: string
  readonly host?: string
  readonly step: string
  readonly reason: string
}

export interface RunSummary {
  /** Steps that ran, or on a dry run would run, in order. */
  readonly steps: readonly PlannedStep[]
  readonly durationMs: number
}
