import {PlatformError} from '../errors.ts'
import {applyStack, type StackResult} from './apply.ts'
import {stackRevision, stackRevisions, type StackRevision} from './history.ts'
import {planStack, type StackPlan} from './plan.ts'
import {prepareRevision, type Prepared, type StackTools} from './prepare.ts'

/** A revision that was deployed, ready to be applied again. Throws PlatformError STACK_UNKNOWN, STACK_REVISION_UNKNOWN. */
export async function prepareRollback(
  stack: string,
  revision: number | undefined,
  tools: StackTools,
): Promise<Prepared> {
  const found =
    revision === undefined
      ? await previousRevision(stack, tools)
      : await stackRevision(tools.kube, stack, revision)
  if (found.state === 'failed' || found.state === 'applying') {
    const all = await stackRevisions(tools.kube, stack)
    const good = all
      .filter(({state}) => state === 'deployed' || state === 'superseded')
      .map((one) => one.revision)
    throw new PlatformError(
      'STACK_REVISION_UNKNOWN',
      `revision ${found.revision} of stack ${stack} was never deployed as a whole; those that were: ${good.join(', ')}`,
      {suggestions: [`clouder stack status ${stack}`]},
    )
  }
  return {...(await prepareRevision(found, tools)), rollbackTo: found.revision}
}

/** The last one that was deployed before the newest. */
async function previousRevision(stack: string, {kube}: StackTools): Promise<StackRevision> {
  const [newest, ...older] = await stackRevisions(kube, stack)
  if (newest === undefined) return stackRevision(kube, stack)
  const found = older.find(({state}) => state === 'superseded' || state === 'deployed')
  if (found !== undefined) return found
  throw new PlatformError(
    'STACK_REVISION_UNKNOWN',
    `stack ${stack} has no revision before ${newest.revision} that was deployed`,
    {
      suggestions: [`clouder stack status ${stack}`],
    },
  )
}

/** Brings an earlier revision back as a new one, with the same order, gates and checks as an apply. */
export const rollbackStack = async (
  stack: string,
  revision: number | undefined,
  tools: StackTools,
): Promise<StackResult> => applyStack(await prepareRollback(stack, revision, tools), tools)

/** How the cluster differs from what was applied last: object by object, with who changed it. */
export async function driftOfStack(stack: string, tools: StackTools): Promise<StackPlan> {
  const live = liveRevision(await revisionsOf(stack, tools))
  return planStack(await prepareRevision(live, tools), tools, 'drift')
}

async function revisionsOf(stack: string, {kube}: StackTools): Promise<readonly StackRevision[]> {
  const all = await stackRevisions(kube, stack)
  return all.length > 0 ? all : [await stackRevision(kube, stack)]
}

/** The newest revision, each service as it was deployed last: one whose gate failed was rolled back to that. */
export function liveRevision(revisions: readonly StackRevision[]): StackRevision {
  const [newest] = revisions
  if (newest === undefined) throw new TypeError('a stack has revisions')
  const live = Object.keys(newest.services).flatMap((name) => {
    const from = revisions.find(({services}) => services[name]?.state === 'deployed')
    const state = from?.services[name]
    const spec = from?.document.services[name]
    return state === undefined || spec === undefined ? [] : [{name, state, spec}]
  })
  const names = new Set(live.map(({name}) => name))
  return {
    ...newest,
    document: {
      ...newest.document,
      services: Object.fromEntries(
        live.map(({name, spec}) => [name, {...spec, needs: spec.needs.filter((need) => names.has(need))}]),
      ),
    },
    services: Object.fromEntries(live.map(({name, state}) => [name, state])),
  }
}
