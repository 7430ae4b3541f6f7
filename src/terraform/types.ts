/** One change of a plan, as the plan itself says. */
export interface ResourceChange {
  /** `aws_instance.cp-1`. */
  readonly address: string
  readonly type: string
  readonly actions: readonly ('create' | 'read' | 'update' | 'delete' | 'no-op' | 'forget')[]
  /** Why Terraform would replace or delete it, in its own words; absent: it does not say. */
  readonly reason?: string
  /** Names of the arguments that differ, never their values; absent where all are new or all go. */
  readonly attributes?: readonly string[]
}

/** Values by name of the output. */
export type Outputs = Readonly<Record<string, unknown>>

export interface TerraformPlan {
  /** Without those that change nothing. */
  readonly changes: readonly ResourceChange[]
  /** What differs in the cloud from the state, found when the plan looked. */
  readonly drift: readonly ResourceChange[]
  /** Whether applying it changes anything; a change of outputs alone counts. */
  readonly hasChanges: boolean
  /** Outputs as they will be, as far as that is known before; asking may take seconds the first time. */
  readonly outputs: (run: TerraformRun) => Promise<Outputs>
  /** By address, the id of what each data source found, where that was told. */
  readonly read: Readonly<Record<string, string>>
  /** Outputs of the state that it was made over; empty where it only makes what was not there. */
  readonly priorOutputs: Outputs
  /** Where the plan is saved; `apply` takes exactly this. */
  readonly file: string
}

/** One line of progress of a run. */
export interface TerraformProgress {
  readonly address: string
  readonly action: string
  readonly state: 'started' | 'still' | 'done' | 'failed'
  readonly elapsedSeconds: number
}

export interface TerraformRun {
  readonly signal: AbortSignal
  readonly onProgress?: (progress: TerraformProgress) => void
}

export interface PlanRun extends TerraformRun {
  readonly destroy?: boolean
  /** Compares cloud and state, and plans no change of the cloud. */
  readonly refreshOnly?: boolean
  /** False: only look, beside others that work on the state. Default true. */
  readonly lock?: boolean
  /** Addresses that alone are planned, with what they need. Default: everything. */
  readonly targets?: readonly string[]
}

/** One working folder with one state. Throws TerraformError: TERRAFORM_FAILED, STATE_LOCKED, … */
export interface Terraform {
  /** `terraform` or `tofu`, and its version. */
  readonly program: {readonly name: 'terraform' | 'tofu'; readonly path: string; readonly version: string}
  init(run: TerraformRun): Promise<void>
  plan(run: PlanRun): Promise<TerraformPlan>
  /** What a saved plan says. */
  show(planFile: string, run: TerraformRun): Promise<TerraformPlan>
  /** Applies a saved plan, nothing else. Gives the outputs, as `output` does. */
  apply(planFile: string, run: TerraformRun): Promise<Outputs | undefined>
  /**
   * Takes what the cloud says now into the state; changes nothing there. `targets`: of these addresses alone, and what
   * they need; none: of all. Gives the outputs, as `output` does.
   */
  refresh(run: TerraformRun & Pick<PlanRun, 'targets'>): Promise<Outputs | undefined>
  /** Outputs by name, unwrapped; undefined: nothing was applied yet. */
  output(run: TerraformRun): Promise<Outputs | undefined>
  /** Addresses of what the state holds. */
  stateList(run: TerraformRun): Promise<readonly string[]>
  /** Takes resources out of the state; they stay in the cloud, by these ids, and Terraform knows of them no more. */
  forget(addresses: readonly string[], run: TerraformRun): Promise<readonly string[]>
}
