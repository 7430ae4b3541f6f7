import {errorMessage, type ConfigProblem} from '../../base/errors.ts'
import type {KubeClient} from '../../kubernetes/types.ts'
import {PlatformError} from '../errors.ts'
import {installedReleases} from '../release/history.ts'
import {withLock} from '../release/lock.ts'
import {removeRelease} from '../release/remove.ts'
import {reversed, type Needs} from './graph.ts'
import {forgetStack, stackRevision, stackRevisions} from './history.ts'
import {STACK_JOB_LABEL} from './jobs.ts'
import {lockName, releaseName, releasesOf, underStackLock} from './plan.ts'
import type {StackTools} from './prepare.ts'
import {runGraph} from './run-graph.ts'
import {stackFromDocument} from './stack-load.ts'
import {asTask, progress} from './tasks.ts'

export interface DestroyResult {
  readonly stack: string
  /** Services, in the order in which they were removed. */
  readonly removed: readonly string[]
}

type DestroyTools = Pick<
  StackTools,
  'kube' | 'signal' | 'now' | 'holder' | 'report' | 'concurrency' | 'redact'
>

/** What a destroy would remove: services, the last to be needed first. Throws PlatformError STACK_UNKNOWN. */
export async function servicesToDestroy(kube: KubeClient, stack: string): Promise<readonly string[]> {
  return [...(await needsOfInstalled(kube, stack)).keys()]
}

/**
 * Removes every service after all that need it, then the namespaces that the stack made, then what is kept of it. Run again
 * it continues. Throws PlatformError STACK_UNKNOWN, STACK_FAILED.
 */
export async function destroyStack(stack: string, tools: DestroyTools): Promise<DestroyResult> {
  await stackRevision(tools.kube, stack)
  return withLock(tools.kube, lockName(stack), tools, async (signal) => {
    const {kube, now, holder} = tools
    const remove = (service: string, name: string): Promise<unknown> =>
      removeRelease(
        kube,
        {owner: 'stack', name},
        {
          signal,
          now,
          holder,
          isStaleHolder: underStackLock,
          progress: (text) => progress(tools, service, text),
        },
      )
    const removed: string[] = []
    const outcomes = await runGraph(
      reversed(await needsOfInstalled(kube, stack)),
      async (service) => {
        const title = `Removing service ${service}`
        await asTask(
          service,
          title,
          tools,
          () => remove(service, releaseName(stack, service)),
          () => 'removed',
        )
        removed.push(service)
      },
      {concurrency: tools.concurrency, signal},
    )
    signal.throwIfAborted()
    const problems: ConfigProblem[] = []
    let cause: unknown
    for (const [path, outcome] of outcomes) {
      if (outcome.kind !== 'failed') continue
      cause ??= outcome.error
      problems.push({path, value: undefined, problem: tools.redact(errorMessage(outcome.error))})
    }
    if (problems.length > 0) {
      throw new PlatformError(
        'STACK_FAILED',
        `stack ${stack} is not removed: ${problems.map(({path}) => path).join(', ')} failed`,
        {problems, cause, suggestions: ['run the same command again']},
      )
    }
    await removeJobs(kube, stack)
    const all = await installedReleases(kube, 'stack')
    if (all.some(({name}) => name === stack)) await remove('namespaces', stack)
    await forgetStack(kube, stack)
    return {stack, removed}
  })
}

async function removeJobs(kube: KubeClient, stack: string): Promise<void> {
  const jobs = await kube.list({
    apiVersion: 'batch/v1',
    kind: 'Job',
    labelSelector: `${STACK_JOB_LABEL}=${stack}`,
  })
  for (const {apiVersion, kind, metadata} of jobs) {
    const {name, namespace} = metadata
    await kube.delete({apiVersion, kind, name, ...(namespace === undefined ? {} : {namespace})})
  }
}

/** The services that are installed, and what they need of each other by the newest revision that has them. */
async function needsOfInstalled(kube: KubeClient, stack: string): Promise<Needs> {
  const [installed, revisions] = await Promise.all([
    installedReleases(kube, 'stack'),
    stackRevisions(kube, stack),
  ])
  const names = [...releasesOf(stack, installed).keys()]
  const stacks = revisions.map(({document, environment}) => stackFromDocument(document, environment))
  const needsOf = (name: string): readonly string[] =>
    stacks.find(({services}) => services.has(name))?.services.get(name)?.needs ?? []
  return new Map(names.map((name) => [name, needsOf(name).filter((need) => names.includes(need))]))
}
