import {resetPhase, uninstallPhase} from '../../bootstrap/phases/reset.ts'
import {specFromDocument} from '../../spec/load.ts'
import type {Machine} from '../../spec/machine.ts'
import type {ClusterRecord} from '../../store/types.ts'
import {allMachines, recordOf} from '../session/clusters.ts'
import {clusterMade, destroyInCloud} from './terminate-cloud.ts'
import {refuseProtected} from './plan-guards.ts'
import {skippedOf} from './reset.ts'
import {openSession} from '../session/session.ts'
import type {SessionTools, SkippedMachine, TerminateResult, Tools} from '../session/types.ts'

/**
 * Removes a cluster and everything that was made for it. Machines clouder made are destroyed; machines that were
 * brought are reset and cleaned, and left running. Ends with nothing remembered.
 */
export async function terminateCluster(
  name: string,
  options: {readonly dryRun: boolean; readonly skipUnreachable?: boolean},
  tools: SessionTools & Pick<Tools, 'openCloud' | 'providerFor'>,
): Promise<TerminateResult> {
  await using _lock = options.dryRun ? undefined : await tools.store.lock(name, tools.run)
  const record = await recordOf(name, tools)
  const spec = specFromDocument(record.document)
  refuseProtected(spec)
  const brought = record.provider === 'byon' ? allMachines(record) : record.joined
  const removed: string[] = []
  const skipped: SkippedMachine[] = []
  if (brought.length > 0) {
    const cleaned = await cleanMachines(name, record, brought, options, tools)
    removed.push(...cleaned.removed)
    skipped.push(...cleaned.skipped)
  }
  const provider = await tools.providerFor(record.provider)
  const paths = tools.store.paths(name)
  if (options.dryRun) {
    const made = [...(await clusterMade(record, spec, tools)), ...(await madeMachines(record, tools))]
    return {cluster: name, removed: [...removed, ...made, paths.dir], skipped}
  }
  const context = {paths, report: tools.report, signal: tools.signal}
  const destroy = () => provider.destroy(name, context, spec)
  removed.push(...(await destroyInCloud(record, spec, destroy, tools)))
  if ((await tools.store.defaultCluster()) === name) await tools.store.setDefaultCluster(undefined)
  await tools.store.remove(name)
  return {cluster: name, removed: [...removed, paths.dir], skipped}
}

/** What `destroy` would remove, as far as looking tells: machines that were brought stay. */
async function madeMachines(
  record: ClusterRecord,
  tools: Pick<Tools, 'store' | 'providerFor' | 'report' | 'signal'>,
): Promise<readonly string[]> {
  if (record.provider === 'byon') return []
  const {report, signal} = tools
  const context = {paths: tools.store.paths(record.name), report, signal, readOnly: true}
  const spec = specFromDocument(record.document)
  const provider = await tools.providerFor(record.provider)
  if (provider.infra !== undefined) {
    const {changes} = await provider.infra.plan(spec, context, {goal: 'destroy'})
    return changes.map(({address}) => address)
  }
  const found = await provider.inspect(spec, context)
  return found?.machines.map((machine) => `machine ${machine.name}`) ?? []
}

async function cleanMachines(
  name: string,
  record: ClusterRecord,
  machines: readonly Machine[],
  {dryRun, skipUnreachable = false}: {readonly dryRun: boolean; readonly skipUnreachable?: boolean},
  tools: SessionTools,
): Promise<Pick<TerminateResult, 'removed' | 'skipped'>> {
  if (record.endpoint === undefined) return {removed: [], skipped: []}
  const flags = {dryRun, skipPhases: [], ignorePreflight: [], concurrency: 20}
  await using session = await openSession(
    {
      spec: specFromDocument(record.document),
      machines,
      endpoint: record.endpoint,
      withBundle: false,
      skipUnreachable,
      exclusive: !dryRun,
      journalOnNodes: false,
      ...flags,
    },
    tools,
  )
  const nodes = machines.map((machine) => machine.name)
  const {steps} = await session.run(
    [resetPhase({nodes, keepsCluster: false, keepsCheckpoints: false}), uninstallPhase],
    flags,
  )
  return {
    removed: steps.map((step) => `${step.host ?? name}: ${step.step}`),
    skipped: skippedOf(session.unreached, 'everything installed, its data and its credentials'),
  }
}
