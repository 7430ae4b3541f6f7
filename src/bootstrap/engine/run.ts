import {ConfigError} from '../../base/errors.ts'
import {throwIfInterrupted, toError} from './failures.ts'
import {Plans} from './plans.ts'
import {plannedStep, runSteps} from './steps.ts'
import type {Ahead, Phase, PlannedStep, RunOptions, RunSummary} from './types.ts'

/**
 * Brings phase after phase to its goal: plan, report the steps, run them unless it is a dry run. With `ahead`, phases
 * are planned before their turn; what is reported, and in which order, is the same.
 * Throws ConfigError FLAG_INVALID (unknown id to skip), HostsFailedError (steps failed, later phases did not start),
 * AbortError INTERRUPTED (everything running was awaited), or what a plan threw, with the phase's id.
 */
export async function runPhases<Context, Tools>(
  phases: readonly Phase<Context, Tools>[],
  context: Context,
  options: RunOptions<Tools>,
  ahead?: Ahead<Context>,
): Promise<RunSummary> {
  checkSkip(phases, options.skip)
  const startedMs = options.now()
  const steps: PlannedStep[] = []
  const plans = new Plans(context, options, ahead)
  try {
    for (const [index, phase] of phases.entries()) {
      throwIfInterrupted(options.signal)
      if (options.skip.includes(phase.id)) {
        options.report({type: 'note', level: 'info', text: `phase ${phase.id} skipped, as requested`})
      } else {
        const left = phases.slice(index + 1).filter(({id}) => !options.skip.includes(id))
        steps.push(...(await runPhase({phase, left, context, plans}, options)))
      }
    }
  } finally {
    await plans.end()
    await flushJournal(options)
  }
  return {steps, durationMs: options.now() - startedMs}
}

function checkSkip<Context, Tools>(phases: readonly Phase<Context, Tools>[], skip: readonly string[]): void {
  const ids = phases.map((phase) => phase.id)
  const unknown = skip.filter((id) => !ids.includes(id))
  if (unknown.length === 0) return
  const names = unknown.map((id) => JSON.stringify(id)).join(', ')
  throw new ConfigError(
    'FLAG_INVALID',
    `no phase ${names} to skip, expected ${ids.length === 0 ? 'none' : `one of ${ids.join(', ')}`}`,
  )
}

interface Turn<Context, Tools> {
  readonly phase: Phase<Context, Tools>
  /** Those that come after it. */
  readonly left: readonly Phase<Context, Tools>[]
  readonly context: Context
  readonly plans: Plans<Context, Tools>
}

async function runPhase<Context, Tools>(
  {phase, left, context, plans}: Turn<Context, Tools>,
  options: RunOptions<Tools>,
): Promise<readonly PlannedStep[]> {
  const {report, now} = options
  const startedMs = now()
  report({type: 'phase-started', phase: phase.id, title: phase.title})
  try {
    const steps = await plans.first(phase, left)
    const planned = steps.map((step) => plannedStep(phase.id, step))
    if (planned.length > 0) {
      report({type: 'phase-planned', phase: phase.id, steps: planned.map(({phase: _, ...rest}) => rest)})
      if (!options.dryRun) {
        await plans.end()
        await runSteps(phase, steps, context, options)
      }
    }
    report({
      type: 'phase-done',
      phase: phase.id,
      durationMs: now() - startedMs,
      steps: planned.length,
      ...(options.dryRun ? {dryRun: true} : {}),
    })
    return planned
  } catch (error) {
    report({type: 'phase-failed', phase: phase.id, durationMs: now() - startedMs})
    throw error
  }
}

async function flushJournal<Tools>({journal, report}: RunOptions<Tools>): Promise<void> {
  try {
    await journal.flush()
  } catch (error) {
    report({type: 'note', level: 'warning', text: `the journal: ${toError(error).message}`})
  }
}
