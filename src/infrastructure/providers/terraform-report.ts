import {errorMessage} from '../../base/errors.ts'
import {TerraformError} from '../../terraform/errors.ts'
import type {MachineChange, ProviderContext} from './provider.ts'
import {addressesIn, type WorkFolder} from './terraform-folder.ts'
import {nodeOfChange, type MachineKind} from './terraform-machines.ts'
import type {Outputs, ResourceChange, TerraformPlan, TerraformProgress} from '../../terraform/types.ts'

const PHASE = 'infrastructure'

/** What a plan would change, as providers tell it. */
export function changesOf(
  plan: Pick<TerraformPlan, 'changes' | 'priorOutputs'>,
  kind: MachineKind,
): readonly MachineChange[] {
  const nodeOf = nodeOfChange(plan, kind)
  return plan.changes.flatMap((change): readonly MachineChange[] => {
    const action = actionOf(change.actions)
    if (action === undefined) return []
    return [{action, what: change.address, reason: reasonOf(change), ...nodeOf(change)}]
  })
}

function actionOf(actions: ResourceChange['actions']): MachineChange['action'] | undefined {
  const [isMade, goes] = [actions.includes('create'), actions.includes('delete')]
  if (isMade) return goes ? 'replace' : 'create'
  if (goes) return 'remove'
  return actions.includes('update') ? 'update' : undefined
}

/** Terraform's own words where it has some. */
export function reasonOf({actions, reason, attributes = []}: ResourceChange): string {
  if (reason !== undefined) return reason
  if (actions.includes('create')) return actions.includes('delete') ? 'is replaced' : 'does not exist'
  return actions.includes('update') ? `differs in ${attributes.join(', ')}` : 'is no longer needed'
}

/** Work of Terraform that is no change of the cluster: a task with what it is about. */
export async function asTask<T>(
  {report}: ProviderContext,
  {task, title}: {readonly task: string; readonly title: string},
  work: () => Promise<T>,
): Promise<T> {
  const startedMs = performance.now()
  const durationMs = () => Math.round(performance.now() - startedMs)
  report({type: 'task-started', task, title})
  try {
    const result = await work()
    report({type: 'task-done', task, durationMs: durationMs()})
    return result
  } catch (error) {
    const message = errorMessage(error)
    report({type: 'task-failed', task, durationMs: durationMs(), message})
    throw error
  }
}

/** An apply as a phase: each resource is a step. */
export async function asPhase<T>(
  {report}: ProviderContext,
  title: string,
  changes: readonly ResourceChange[],
  work: (onProgress: (progress: TerraformProgress) => void) => Promise<T>,
): Promise<T> {
  const startedMs = performance.now()
  const durationMs = () => Math.round(performance.now() - startedMs)
  const steps = changes.flatMap((change) =>
    change.actions.map((action) => ({step: `${action} ${change.address}`, reason: reasonOf(change)})),
  )
  report({type: 'phase-started', phase: PHASE, title})
  report({type: 'phase-planned', phase: PHASE, steps})
  const reasons = new Map(steps.map(({step, reason}) => [step, reason]))
  try {
    const result = await work((progress) => reportStep(report, reasons, progress))
    report({type: 'phase-done', phase: PHASE, durationMs: durationMs(), steps: steps.length})
    return result
  } catch (error) {
    report({type: 'phase-failed', phase: PHASE, durationMs: durationMs()})
    throw error
  }
}

function reportStep(
  report: ProviderContext['report'],
  reasons: ReadonlyMap<string, string>,
  {address, action, state, elapsedSeconds}: TerraformProgress,
): void {
  const step = `${action} ${address}`
  // What is only read is no step.
  const reason = reasons.get(step)
  if (reason === undefined) return
  const event = {phase: PHASE, step}
  const durationMs = elapsedSeconds * 1000
  switch (state) {
    case 'started':
      report({type: 'step-started', reason, ...event})
      break
    case 'still':
      report({type: 'step-progress', text: `${elapsedSeconds} s`, ...event})
      break
    case 'done':
      report({type: 'step-done', durationMs, ...event})
      break
    case 'failed':
      report({type: 'step-failed', durationMs, message: 'Terraform failed', ...event})
      break
  }
}

/** Settings that nothing else writes, and whose reading waits for seconds until the cloud says the same twice. */
const SLOW_TO_READ = /^aws_s3_bucket_(versioning|lifecycle_configuration)\./

/**
 * What was made first does not know in the state of what was made from it later: who is attached, what refers to it.
 * Taken in now, it is no drift tomorrow. Where that fails, what was made is made all the same. Gives the outputs after it.
 */
export async function settle(
  {dir, terraform}: Pick<WorkFolder, 'dir' | 'terraform'>,
  {name}: {readonly name: string},
  context: ProviderContext,
): Promise<Outputs | undefined> {
  const all = await addressesIn(dir)
  const quick = all.filter((address) => !SLOW_TO_READ.test(address))
  const targets = quick.length === all.length ? [] : quick
  try {
    return await asTask(context, {task: 'refresh', title: `Refreshing the Terraform state of ${name}`}, () =>
      terraform.refresh({signal: context.signal, targets}),
    )
  } catch (error) {
    if (!(error instanceof TerraformError)) throw error
    const text = `could not refresh the Terraform state, so a drift report may contain changes that clouder made: ${error.message}`
    context.report({type: 'note', level: 'warning', text})
    return undefined
  }
}
