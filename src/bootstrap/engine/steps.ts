import {createHash} from 'node:crypto'
import {AbortError, HostsFailedError} from '../../base/errors.ts'
import type {Host} from '../hosts/host.ts'
import {withEvidence, type StepFailure} from './diagnose.ts'
import {interruption, throwIfInterrupted, toError} from './failures.ts'
import {fanOut} from './fan-out.ts'
import type {
  ClusterStep,
  HostStep,
  JournalEntry,
  Phase,
  PlannedStep,
  RunOptions,
  Step,
  StepContext,
} from './types.ts'

/** A step as events and summaries name it. */
export function plannedStep<Tools>(phase: string, step: Step<Tools>): PlannedStep {
  const {summary, reason, on} = step
  return {phase, ...(on === undefined ? {} : {host: on.name}), step: summary, reason}
}

/**
 * Runs the steps of one phase: those of a host in order, hosts side by side, a cluster step alone between
 * what stands before and after it. Throws HostsFailedError with every failure, or AbortError INTERRUPTED.
 */
export async function runSteps<Context, Tools>(
  phase: Phase<Context, Tools>,
  steps: readonly Step<Tools>[],
  context: Context,
  options: RunOptions<Tools>,
): Promise<void> {
  for (const stretch of stretchesOf(steps)) {
    throwIfInterrupted(options.signal)
    const failures =
      stretch instanceof Map
        ? await runOnHosts(phase.id, stretch, options)
        : await runInOrder(phase.id, [stretch], options)
    if (failures.length === 0) continue
    const genuine = failures.filter((failure) => !failure.interrupted)
    if (genuine.length === 0) throw abortOf(failures, options.signal)
    throw new HostsFailedError(phase.id, await withEvidence(phase, context, genuine, options))
  }
}

type HostQueues = Map<string, HostStep[]>

/** Cuts the list at its cluster steps; between two of them, the steps by host. */
function stretchesOf<Tools>(steps: readonly Step<Tools>[]): readonly (ClusterStep<Tools> | HostQueues)[] {
  const stretches: (ClusterStep<Tools> | HostQueues)[] = []
  let queues: HostQueues | undefined
  for (const step of steps) {
    if (step.on === undefined) {
      stretches.push(step)
      queues = undefined
      continue
    }
    if (queues === undefined) stretches.push((queues = new Map()))
    const queue = queues.get(step.on.name)
    if (queue === undefined) queues.set(step.on.name, [step])
    else queue.push(step)
  }
  return stretches
}

async function runOnHosts<Tools>(
  phase: string,
  queues: HostQueues,
  options: RunOptions<Tools>,
): Promise<readonly StepFailure[]> {
  const outcomes = await fanOut(
    [...queues.values()],
    options.concurrency,
    async (queue) => await runInOrder(phase, queue, options),
    options.signal,
  )
  return outcomes.flatMap((outcome) =>
    'value' in outcome
      ? outcome.value
      : [{on: outcome.item[0]?.on, step: undefined, error: outcome.error, interrupted: true}],
  )
}

/** Stops at the first failure, and before the next step once the run is aborted. */
async function runInOrder<Tools>(
  phase: string,
  steps: readonly Step<Tools>[],
  options: RunOptions<Tools>,
): Promise<readonly StepFailure[]> {
  for (const step of steps) {
    if (isAborted(options.signal)) {
      return [{on: step.on, step: step.summary, error: interruption(options.signal), interrupted: true}]
    }
    const error = await runStep(phase, step, options)
    if (error !== undefined) {
      const interrupted = error instanceof AbortError || isAborted(options.signal)
      return [{on: step.on, step: step.summary, error, interrupted}]
    }
  }
  return []
}

/** Runs one step between two journal entries; gives its failure instead of throwing it. */
async function runStep<Tools>(
  phase: string,
  step: Step<Tools>,
  options: RunOptions<Tools>,
): Promise<Error | undefined> {
  const {reason, ...event} = plannedStep(phase, step)
  const {report, signal, now} = options
  const startedMs = now()
  const context: StepContext = {
    signal,
    progress: (text) => report({type: 'step-progress', ...event, text}),
  }
  let host: Host | undefined
  const remember = async (end: Pick<JournalEntry, 'event' | 'durationMs' | 'message'>): Promise<void> =>
    await options.journal.record(
      {
        time: new Date(now()).toISOString(),
        run: options.run,
        ...event,
        inputHash: hashOf(step, phase),
        ...end,
      },
      host,
    )

  report({type: 'step-started', ...event, reason})
  try {
    if (step.on === undefined) {
      await remember({event: 'start'})
      await step.run(options.tools, context)
    } else {
      host = options.hostFor(step.on.name)
      await remember({event: 'start'})
      await step.run(host, context)
    }
    const durationMs = now() - startedMs
    await remember({event: 'done', durationMs})
    report({type: 'step-done', ...event, durationMs})
    return undefined
  } catch (thrown) {
    const error = toError(thrown)
    const durationMs = now() - startedMs
    try {
      await remember({event: 'failed', durationMs, message: error.message})
    } catch (journalError) {
      report({type: 'note', level: 'warning', text: `the journal: ${toError(journalError).message}`})
    }
    report({type: 'step-failed', ...event, durationMs, message: error.message})
    return error
  }
}

// A call, because the compiler takes a signal that was not aborted before an await for one that never will be.
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted
}

function hashOf<Tools>(step: Step<Tools>, phase: string): string {
  const inputs = [phase, step.summary, step.reason, step.on?.name ?? null]
  return createHash('sha256').update(JSON.stringify(inputs)).digest('hex')
}

function abortOf(failures: readonly StepFailure[], signal: AbortSignal): AbortError {
  if (signal.aborted) return interruption(signal)
  const own = failures.map(({error}) => error).find((error) => error instanceof AbortError)
  return own ?? interruption(signal)
}
