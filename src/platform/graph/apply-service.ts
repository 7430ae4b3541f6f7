import {waitFor} from '../../base/waiting.ts'
import {ClouderError, TimeoutError} from '../../base/errors.ts'
import {refOf} from '../../kubernetes/refs.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {PlatformError} from '../errors.ts'
import {explainNotReady} from '../release/explain.ts'
import {applyLocked} from '../release/apply.ts'
import {withLock} from '../release/lock.ts'
import {ensureSystemNamespace} from '../release/namespaces.ts'
import {notReady, waitUntilReady} from '../release/readiness.ts'
import type {NotReady, ReleasePlan} from '../release/types.ts'
import {gateOf, type GatePart} from './gates.ts'
import {contentOf, keepContent, type ServiceState} from './history.ts'
import {beginJob, describeJob, jobOf, jobProblem, placed} from './jobs.ts'
import {readOutputs} from './outputs.ts'
import {actionOf, planPart, underStackLock} from './plan.ts'
import {keptPart, openValues, type Part, type Prepared, type StackTools} from './prepare.ts'
import {progress} from './tasks.ts'
import {requireKnown, valuesOf, type KnownValues, type Rendered} from './render.ts'

/** What a run of a stack knows, and keeps in the cluster as it goes on. */
export interface StackRun {
  readonly prepared: Prepared
  readonly tools: StackTools
  /** Number of the revision that is applied. */
  readonly revision: () => Promise<number>
  /** How the service ended in the revision before this one. */
  readonly stateBefore: (service: string) => ServiceState | undefined
  /** Digest of what was deployed last; undefined: it never was. */
  readonly deployedContent: (service: string) => string | undefined
  /** Keeps the state of a service in the cluster. */
  readonly mark: (service: string, state: ServiceState) => Promise<void>
  /** Of services that are done; the values are in memory only. */
  readonly outputs: Map<string, ReadonlyMap<string, string>>
}

export interface AppliedService {
  readonly outcome: 'deployed' | 'unchanged'
  readonly changes: number
}

const POLL_MS = 500

/**
 * Applies one service, after all that it needs, and waits for its gate; where that fails, what was deployed before is applied
 * again. Throws PlatformError and KubernetesError.
 */
export async function applyService(part: Part, run: StackRun): Promise<AppliedService> {
  const {prepared, tools} = run
  const {name} = part.service
  const known = await valuesOf(part, run.outputs, openValues(tools), prepared)
  requireKnown(part, known)
  const {rendered, plan} = await planPart(part, known, prepared, tools)
  const before = run.stateBefore(name)
  if (actionOf(plan, before?.state) === 'none') {
    const content = await kept(part, rendered, before, run)
    await run.mark(name, {state: 'deployed', content})
    run.outputs.set(name, await outputsOf(part, known, run))
    return {outcome: 'unchanged', changes: 0}
  }
  const revision = await run.revision()
  const content = await kept(part, rendered, before, run)
  await run.mark(name, {state: 'applying', content})
  await runJobs(part, jobsOf(part, rendered, 'before', revision, run), run)
  await applyOrBack(
    part,
    rendered,
    plan,
    async (signal) => {
      await passGate(part, rendered, known, revision, {...run, tools: {...tools, signal}})
      await runJobs(part, jobsOf(part, rendered, 'after', revision, run), run)
    },
    run,
  )
  run.outputs.set(name, await outputsOf(part, known, run))
  await run.mark(name, {state: 'deployed', content})
  return {outcome: 'deployed', changes: plan.changes.length}
}

async function kept(
  {service}: Part,
  {content}: Rendered,
  before: ServiceState | undefined,
  {prepared, tools}: StackRun,
): Promise<string> {
  return keepContent(tools.kube, prepared.stack.name, service.name, content, before?.content)
}

/** What is worth to go back for: the service is there, and is not what it should be. */
const isBad = (error: unknown): error is ClouderError =>
  error instanceof ClouderError && ['RELEASE_NOT_READY', 'HOOK_FAILED', 'API_REJECTED'].includes(error.code)

async function applyOrBack(
  part: Part,
  rendered: Rendered,
  plan: ReleasePlan,
  gate: (signal: AbortSignal) => Promise<void>,
  run: StackRun,
): Promise<void> {
  const {tools} = run
  const {kube} = tools
  const {name} = part.service
  const options = {
    signal: tools.signal,
    now: tools.now,
    holder: tools.holder,
    isStaleHolder: underStackLock,
    progress: (text: string) => progress(tools, name, text),
  }
  const good = run.deployedContent(name)
  await ensureSystemNamespace(kube)
  await withLock(kube, plan.release, options, async (signal) => {
    const under = {...options, signal}
    try {
      await applyLocked(kube, plan, under, gate)
    } catch (error) {
      if (signal.aborted || !isBad(error)) throw error
      if (good === undefined)
        throw failure(error, `it was not deployed before, and stays to be inspected`, tools)
      options.progress('rolling back')
      await applyLocked(kube, await planOf(part, good, run), under)
      throw failure(error, `it was rolled back to what was deployed before`, tools)
    }
  })
}

/** The plan that brings back what was deployed before. */
async function planOf(
  {service}: Part,
  digest: string,
  {prepared, tools, outputs}: StackRun,
): Promise<ReleasePlan> {
  const content = await contentOf(tools.kube, prepared.stack.name, service.name, digest)
  const part = keptPart(service, content)
  const known = await valuesOf(part, outputs, openValues(tools), prepared)
  requireKnown(part, known)
  return (await planPart(part, known, prepared, tools)).plan
}

function failure(error: ClouderError, outcome: string, {redact}: StackTools): PlatformError {
  const code =
    error instanceof PlatformError && error.code === 'HOOK_FAILED' ? 'HOOK_FAILED' : 'RELEASE_NOT_READY'
  return new PlatformError(code, redact(`${error.message}\n${outcome}`), {
    suggestions: error.suggestions.map(redact),
  })
}

/** Throws PlatformError RELEASE_NOT_READY; what it quotes of logs holds no value of a Secret that the stack refers to. */
async function passGate(
  {service}: Part,
  {objects}: Rendered,
  known: KnownValues,
  revision: number,
  {prepared, tools}: StackRun,
): Promise<void> {
  const {kube, signal} = tools
  const readyMs = service.gate.ready.timeoutSeconds * 1000
  const outputs = async (): Promise<readonly NotReady[]> => {
    const {missing} = await readOutputs(kube, service, known.valueOf)
    const ref = {apiVersion: 'clouder.dev/v1alpha1', kind: 'Service', name: service.name}
    return missing.map((problem) => ({ref, problem, isStuck: false}))
  }
  const parts: readonly GatePart[] = [
    {timeoutMs: readyMs, problems: () => Promise.resolve([])},
    ...gateOf(service, {stack: prepared.stack.name, occasion: String(revision)}, {kube, signal}),
    {timeoutMs: readyMs, problems: outputs},
  ]
  try {
    for (const {timeoutMs, problems} of parts) {
      const ready = async (): Promise<readonly NotReady[]> => {
        // A container that crashes meanwhile is the reason for what comes after it.
        const waiting = await notReady(kube, objects)
        return waiting.length > 0 ? waiting : await problems()
      }
      await waitUntilReady(kube, ready, {
        signal,
        timeoutMs,
        graceMs: tools.graceMs,
        progress: (text) => progress(tools, service.name, text),
      })
    }
  } catch (error) {
    if (!(error instanceof PlatformError)) throw error
    // The release keeps the message with its revision.
    throw new PlatformError('RELEASE_NOT_READY', tools.redact(error.message), {
      suggestions: error.suggestions,
    })
  }
}

/** Throws PlatformError REFERENCE_MISSING. */
async function outputsOf(
  {service}: Part,
  known: KnownValues,
  {tools}: StackRun,
): Promise<ReadonlyMap<string, string>> {
  const {values, missing} = await readOutputs(tools.kube, service, known.valueOf)
  if (missing.length === 0) return values
  throw new PlatformError('REFERENCE_MISSING', `service ${service.name}: ${missing.join('; ')}`, {
    suggestions: ['check outputs of the service in stack.yaml'],
  })
}

function jobsOf(
  {service}: Part,
  {content}: Rendered,
  purpose: 'before' | 'after',
  revision: number,
  {prepared}: StackRun,
): readonly KubeObject[] {
  const place = {
    stack: prepared.stack.name,
    service: service.name,
    namespace: service.namespace,
    purpose,
    occasion: String(revision),
  }
  const own = service.hooks[purpose]
  return [
    ...content[purpose].map((job) => placed(job, place)),
    ...(own === undefined ? [] : [jobOf(own, place)]),
  ]
}

/** One after the other. Throws PlatformError HOOK_FAILED. */
async function runJobs({service}: Part, jobs: readonly KubeObject[], {tools}: StackRun): Promise<void> {
  const {kube, signal} = tools
  for (const job of jobs) {
    const what = describeJob(job)
    progress(tools, service.name, `waiting for ${what}`)
    await beginJob(kube, job)
    const failure = await waitFor<NotReady | 'done'>({
      what: `${what} to succeed`,
      check: async () => {
        const problem = await jobProblem(kube, job)
        if (problem === undefined) return {value: 'done', seen: 'it succeeded'}
        return problem.isStuck ? {value: problem, seen: problem.problem} : {seen: problem.problem}
      },
      timeoutMs: timeoutOf(job),
      intervalMs: POLL_MS,
      signal,
    }).catch((error: unknown): NotReady => {
      if (!(error instanceof TimeoutError)) throw error
      return {ref: refOf(job), problem: error.message, isStuck: true}
    })
    if (failure === 'done') continue
    throw new PlatformError(
      'HOOK_FAILED',
      `a hook of service ${service.name} has failed: ${tools.redact(await explainNotReady(kube, [failure]))}`,
      {suggestions: [`clouder kubectl -- logs -n ${job.metadata.namespace ?? ''} job/${job.metadata.name}`]},
    )
  }
}

/** A little more than the Job itself may take: then it is the Job that says why. */
function timeoutOf({spec}: KubeObject): number {
  const limit =
    typeof spec === 'object' && spec !== null && 'activeDeadlineSeconds' in spec
      ? Number(spec.activeDeadlineSeconds)
      : 600
  return (limit + 30) * 1000
}
