import {isDeepStrictEqual} from 'node:util'
import {ClouderError, errorMessage, type ConfigProblem} from '../../base/errors.ts'
import {PlatformError} from '../errors.ts'
import {applyRelease} from '../release/apply.ts'
import {installedReleases} from '../release/history.ts'
import {withLock} from '../release/lock.ts'
import {ensureSystemNamespace} from '../release/namespaces.ts'
import {removeRelease} from '../release/remove.ts'
import {applyService, type AppliedService, type StackRun} from './apply-service.ts'
import {forgetOld, stackRevisions, writeRevision, type ServiceState, type StackRevision} from './history.ts'
import {lockName, planNamespaces, releaseName, releasesOf, requirePreflight, underStackLock} from './plan.ts'
import {preflight} from './preflight.ts'
import {checkReferences, openValues, type Prepared, type StackTools} from './prepare.ts'
import {runGraph, type Outcome} from './run-graph.ts'
import {asTask, progress} from './tasks.ts'

export interface ServiceResult {
  readonly service: string
  readonly outcome: 'deployed' | 'unchanged' | 'failed' | 'skipped' | 'removed'
  /** Objects that were changed. */
  readonly changes: number
  readonly durationMs: number
}

export interface StackResult {
  readonly stack: string
  readonly environment?: string | undefined
  readonly revision: number
  readonly services: readonly ServiceResult[]
}

/**
 * Applies a stack: each service when all that it needs has passed its gate, independent ones at the same time. Where a gate
 * fails the service is rolled back, and what needs it is not begun; the rest is finished. A run that was killed is
 * continued by the next one, on any machine. Throws PlatformError STACK_FAILED with every failure.
 */
export async function applyStack(prepared: Prepared, tools: StackTools): Promise<StackResult> {
  const {stack} = prepared
  const [installed] = await Promise.all([
    installedReleases(tools.kube, 'stack'),
    checkReferences(prepared, openValues(tools)),
  ])
  const present = new Set(releasesOf(stack.name, installed).keys())
  requirePreflight(stack.name, await preflight([...stack.services.values()], present, tools))
  await ensureSystemNamespace(tools.kube)
  return withLock(tools.kube, lockName(stack.name), tools, (signal) =>
    applyLocked(prepared, {...tools, signal}),
  )
}

async function applyLocked(prepared: Prepared, tools: StackTools): Promise<StackResult> {
  const {stack, needs, parts} = prepared
  const {kube, signal, now} = tools
  const revisions = await stackRevisions(kube, stack.name)
  const record = new RevisionRecord(prepared, revisions, tools)
  const namespaces = await planNamespaces(
    prepared,
    await kube.list({apiVersion: 'v1', kind: 'Namespace'}),
    tools,
  )
  if (namespaces.changes.length > 0 || namespaces.installed === undefined) {
    await record.begin()
    await applyRelease(kube, namespaces, {
      signal,
      now,
      holder: tools.holder,
      isStaleHolder: underStackLock,
      progress: (text) => progress(tools, 'namespaces', text),
    })
  }
  const run: StackRun = {
    prepared,
    tools,
    revision: () => record.begin(),
    deployedContent: (service) => record.deployedContent(service),
    stateBefore: (service) => record.stateBefore(service),
    mark: (service, state) => record.mark(service, state),
    outputs: new Map(),
  }
  const durations = new Map<string, number>()
  const outcomes = await runGraph(
    needs,
    async (name) => {
      const part = parts.get(name)
      if (part === undefined) throw new TypeError(`${name} is not a service`)
      const begunAt = now()
      try {
        return await asTask(name, `Applying service ${name}`, tools, () => applyService(part, run), endText)
      } catch (error) {
        if (!signal.aborted) {
          const {content} = record.state(name)
          await record.mark(name, {state: 'failed', message: tools.redact(errorMessage(error)), content})
        }
        throw error
      } finally {
        durations.set(name, now() - begunAt)
      }
    },
    {concurrency: tools.concurrency, signal},
  )
  // What was begun stays as it is: the next run continues it.
  signal.throwIfAborted()
  const failed = [...outcomes].filter(([, {kind}]) => kind === 'failed')
  const removed = failed.length === 0 ? await removeOthers(prepared, record, tools) : []
  await record.finish(outcomes)
  if (failed.length > 0) throw stackFailed(stack.name, outcomes, tools)
  return {
    stack: stack.name,
    environment: stack.environment,
    revision: record.number,
    services: [
      ...[...outcomes].map(([service, outcome]) => resultOf(service, outcome, durations.get(service) ?? 0)),
      ...removed.map((service) => ({service, outcome: 'removed' as const, changes: 0, durationMs: 0})),
    ],
  }
}

const endText = ({outcome, changes}: AppliedService): string =>
  outcome === 'unchanged' ? 'unchanged' : `deployed, ${changes} ${changes === 1 ? 'change' : 'changes'}`

function resultOf(service: string, outcome: Outcome<AppliedService>, durationMs: number): ServiceResult {
  if (outcome.kind === 'done') return {service, ...outcome.value, durationMs}
  return {service, outcome: outcome.kind, changes: 0, durationMs}
}

/** Removes services that the stack no longer has; the last to be needed first. */
async function removeOthers(
  {stack, parts}: Prepared,
  record: RevisionRecord,
  tools: StackTools,
): Promise<readonly string[]> {
  const {kube, signal, now, holder} = tools
  const installed = releasesOf(stack.name, await installedReleases(kube, 'stack'))
  const gone = record.lastFirst([...installed.keys()].filter((name) => !parts.has(name)))
  for (const service of gone) {
    await record.begin()
    await asTask(
      service,
      `Removing service ${service}`,
      tools,
      () =>
        removeRelease(
          kube,
          {owner: 'stack', name: releaseName(stack.name, service)},
          {
            signal,
            now,
            holder,
            isStaleHolder: underStackLock,
            progress: (text) => progress(tools, service, text),
          },
        ),
      () => 'removed',
    )
  }
  return gone
}

function stackFailed(
  stack: string,
  outcomes: ReadonlyMap<string, Outcome<AppliedService>>,
  {redact}: StackTools,
): PlatformError {
  const problems: ConfigProblem[] = []
  const suggestions = new Set<string>()
  const skipped: string[] = []
  let cause: unknown
  for (const [service, outcome] of outcomes) {
    if (outcome.kind === 'skipped') skipped.push(`${service} (needs ${outcome.because})`)
    if (outcome.kind !== 'failed') continue
    cause ??= outcome.error
    problems.push({path: service, value: undefined, problem: redact(errorMessage(outcome.error))})
    if (outcome.error instanceof ClouderError)
      for (const one of outcome.error.suggestions) suggestions.add(one)
  }
  const names = problems.map(({path}) => path).join(', ')
  const rest = skipped.length === 0 ? '' : `; not begun: ${skipped.join(', ')}`
  return new PlatformError('STACK_FAILED', `stack ${stack}: ${names} failed${rest}`, {
    problems,
    cause,
    suggestions: [...suggestions, `clouder stack status ${stack}`],
  })
}

/** The revision of this run, written when the first change is due. */
class RevisionRecord {
  readonly #prepared: Prepared
  readonly #tools: StackTools
  readonly #previous: StackRevision | undefined
  readonly #all: readonly StackRevision[]
  readonly #services = new Map<string, ServiceState>()
  #begun: Promise<number> | undefined
  #writing: Promise<void> = Promise.resolve()
  /** That of the newest revision until another one is begun. */
  number: number

  constructor(prepared: Prepared, revisions: readonly StackRevision[], tools: StackTools) {
    this.#prepared = prepared
    this.#tools = tools
    this.#all = revisions
    this.#previous = revisions[0]
    this.number = this.#previous?.revision ?? 0
    for (const name of prepared.parts.keys()) this.#services.set(name, {state: 'waiting'})
  }

  state(service: string): ServiceState {
    return this.#services.get(service) ?? {state: 'waiting'}
  }

  stateBefore(service: string): ServiceState | undefined {
    return this.#previous?.services[service]
  }

  deployedContent(service: string): string | undefined {
    return this.#all.find(({services}) => services[service]?.state === 'deployed')?.services[service]?.content
  }

  /** Services in an order in which none is removed before what needs it. */
  lastFirst(names: readonly string[]): readonly string[] {
    const known = this.#all.map(({document}) => document.services)
    const needsOf = (name: string): readonly string[] =>
      known.find((all) => all[name] !== undefined)?.[name]?.needs ?? []
    const depth = (name: string): number => Math.max(-1, ...needsOf(name).map(depth)) + 1
    return names.toSorted((a, b) => depth(b) - depth(a))
  }

  /** The number of this revision; the first call writes it. A run that was killed is continued under its number. */
  async begin(): Promise<number> {
    this.#begun ??= this.#begin()
    return this.#begun
  }

  async #begin(): Promise<number> {
    const isContinued = this.#previous?.state === 'applying' && this.#isSame(this.#previous)
    if (!isContinued) {
      for (const old of this.#all) {
        if (old.state === 'applying') await writeRevision(this.#tools.kube, {...old, state: 'failed'})
      }
      this.number += 1
    }
    await this.#write('applying')
    return this.number
  }

  #isSame({document, environment, rollbackTo}: StackRevision): boolean {
    const {stack} = this.#prepared
    return (
      isDeepStrictEqual(document, stack.document) &&
      environment === stack.environment &&
      rollbackTo === this.#prepared.rollbackTo
    )
  }

  /** Written at once where the revision was begun. */
  async mark(service: string, state: ServiceState): Promise<void> {
    this.#services.set(service, state)
    if (this.#begun === undefined) return
    await this.#begun
    await this.#write('applying')
  }

  async #write(state: StackRevision['state']): Promise<void> {
    // One after the other, each with all that is known by then.
    const writing = this.#writing.then(() => writeRevision(this.#tools.kube, this.#revision(state)))
    this.#writing = writing.catch(() => undefined)
    await writing
  }

  #revision(state: StackRevision['state']): StackRevision {
    const {stack, rollbackTo} = this.#prepared
    return {
      stack: stack.name,
      revision: this.number,
      ...(stack.environment === undefined ? {} : {environment: stack.environment}),
      document: stack.document,
      state,
      appliedAt: new Date(this.#tools.now()).toISOString(),
      ...(rollbackTo === undefined ? {} : {rollbackTo}),
      services: Object.fromEntries(this.#services),
    }
  }

  async finish(outcomes: ReadonlyMap<string, Outcome<AppliedService>>): Promise<void> {
    for (const [service, outcome] of outcomes) {
      if (outcome.kind !== 'skipped') continue
      const {content} = this.stateBefore(service) ?? {}
      const message = `needs ${outcome.because}`
      this.#services.set(service, {state: 'skipped', message, ...(content === undefined ? {} : {content})})
    }
    const isDone = [...outcomes.values()].every(({kind}) => kind === 'done')
    const isKnown = this.#previous?.state === 'deployed' && this.#isSame(this.#previous)
    // Nothing was changed, and the newest revision is this one.
    if (this.#begun === undefined && isDone && isKnown) return
    await this.begin()
    await this.#write(isDone ? 'deployed' : 'failed')
    if (isDone) {
      for (const old of this.#all) {
        if (old.state === 'deployed' && old.revision !== this.number) {
          await writeRevision(this.#tools.kube, {...old, state: 'superseded'})
        }
      }
    }
    await forgetOld(this.#tools.kube, this.#prepared.stack.name)
  }
}
