/** One change of a plan, as the plan itself says. */
export interface ResourceChange {
  /** `aws_instance.cp-1`. */
  readonly address: string
  readonly type: string
  readonly actions: readonly ('create' | 'read' | 'update' | 'delete' | 'no-op' | 'forget')[]
  /** Why Terraform would replace or delete it, in its own words; absent: it does not say. */
  readonly reason?: string
}

export interface TerraformPlan {
  /** Without those that change nothing. */
  readonly changes: readonly ResourceChange[]
  /** What differs in the cloud from the state, found when the plan looked. */
  readonly drift: readonly ResourceChange[]
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

/** One working folder with one state. Throws InfrastructureError: TERRAFORM_FAILED, STATE_LOCKED, … */
export interface Terraform {
  /** `terraform` or `tofu`, and its version. */
  readonly program: {readonly name: 'terraform' | 'tofu'; readonly path: string; readonly version: string}
  init(run: TerraformRun): Promise<void>
  plan(
    run: TerraformRun & {readonly destroy?: boolean; readonly refreshOnly?: boolean},
  ): Promise<TerraformPlan>
  /** Applies a saved plan, nothing else. */
  apply(planFile: string, run: TerraformRun): Promise<void>
  /** Outputs by name, unwrapped; undefined: nothing was applied yet. */
  output(run: TerraformRun): Promise<Readonly<Record<string, unknown>> | undefined>
  /** Addresses of what the state holds. */
  stateList(run: TerraformRun): Promise<readonly string[]>
}
