import type {Cloud, CloudKind} from '../../infrastructure/clouds/cloud.ts'
import {ClouderError} from '../../base/errors.ts'
import {TerraformError} from '../../terraform/errors.ts'
import {describeRef} from '../../kubernetes/refs.ts'
import {cloudOf} from '../../spec/cloud-machines.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import {specFromDocument} from '../../spec/load.ts'
import type {ClusterRecord} from '../../store/types.ts'
import {findClusterMade, removeClusterMade} from './cloud-dependents.ts'
import {openToLook, type Session} from '../session/session.ts'
import {nameOf, sweep, type SweepOptions, type SweepResult, throwLeftovers} from './sweep.ts'
import type {SessionTools, TerminateResult, Tools} from '../session/types.ts'

/**
 * `destroy` of the provider between what only a cloud needs: before it, controllers give back what they made; after
 * it, everything with the cluster's tag is looked for. Throws InfrastructureError LEFTOVERS: then the record stays.
 */
export async function destroyInCloud(
  record: ClusterRecord,
  spec: ClusterSpec,
  destroy: () => Promise<readonly string[]>,
  tools: SessionTools & Pick<Tools, 'openCloud'>,
): Promise<readonly string[]> {
  const settings = cloudOf(spec)
  if (settings === undefined) return destroy()
  const cloud = await cloudOfSpec(spec, tools)
  const keepData = settings.deletionPolicy === 'retain'
  const removed = [...(await giveBack(record, spec, keepData, tools))]
  const how = {cluster: spec.name, cloud, keepData}
  // A load balancer that nobody removed keeps its network from going.
  removed.push(...(await sweep({...how, scope: 'controllers'}, tools)).removed)
  removed.push(...(await destroyFreed(destroy, how, tools)))
  const swept = await sweep({...how, scope: 'all'}, tools)
  reportKept(swept, tools)
  throwLeftovers(spec.name, swept.left)
  return [...removed, ...swept.removed]
}

/**
 * What machines held is free only once they are gone, and may be what the rest cannot go for: Azure refuses to remove
 * a resource group with a disk in it. So a destroy that failed is tried once more when a sweep found something.
 */
async function destroyFreed(
  destroy: () => Promise<readonly string[]>,
  how: Pick<SweepOptions, 'cluster' | 'cloud' | 'keepData'>,
  tools: Pick<Tools, 'now' | 'report' | 'signal'>,
): Promise<readonly string[]> {
  try {
    return await destroy()
  } catch (error) {
    if (!(error instanceof TerraformError) || error.code !== 'TERRAFORM_FAILED') throw error
    const {removed} = await sweep({...how, scope: 'controllers'}, tools)
    if (removed.length === 0) throw error
    return [...removed, ...(await destroy())]
  }
}

function reportKept({kept}: SweepResult, {report}: Pick<Tools, 'report'>): void {
  for (const {kind, id, region} of kept)
    report({type: 'note', level: 'warning', text: `${kind} ${id} in ${region} is kept: it holds data`})
}

/** Opens the cloud that a spec is of; credentials of another account are refused. */
function cloudOfSpec(
  spec: ClusterSpec,
  {openCloud, signal}: Pick<Tools, 'openCloud' | 'signal'>,
): Promise<Cloud> {
  const {aws, azure} = spec.provider
  return spec.provider.kind === 'azure'
    ? openCloud({kind: 'azure', region: azure.location, account: azure.subscription, signal})
    : openCloud({kind: 'aws', region: aws.region, profile: aws.profile, account: aws.account, signal})
}

/** What `destroyInCloud` would remove beside what the provider made. Reads only. */
export async function clusterMade(
  record: ClusterRecord,
  spec: ClusterSpec,
  tools: SessionTools & Pick<Tools, 'openCloud'>,
): Promise<readonly string[]> {
  const settings = cloudOf(spec)
  if (settings === undefined) return []
  const keepData = settings.deletionPolicy === 'retain'
  await using session = await sessionOf(record, spec, tools)
  const kube = await session?.context.kube()
  const refs = kube === undefined ? [] : await findClusterMade(kube, keepData)
  const cloud = await cloudOfSpec(spec, tools)
  const found = await cloud.findOwned(spec.name, tools.signal)
  return [
    ...refs.map(describeRef),
    ...found.filter(({madeBy, holdsData}) => madeBy === 'controller' && !(keepData && holdsData)).map(nameOf),
  ]
}

/** Where the API server is dead, there is nobody to give anything back: the sweep finds it. */
async function giveBack(
  record: ClusterRecord,
  spec: ClusterSpec,
  keepData: boolean,
  tools: SessionTools,
): Promise<readonly string[]> {
  const silent = (why: string): readonly string[] => {
    const text = `the API server of ${spec.name} does not respond (${why}): searching by tag for what its controllers created`
    tools.report({type: 'note', level: 'warning', text})
    return []
  }
  try {
    await using session = await sessionOf(record, spec, tools)
    if (session === undefined) return []
    if ((await session.context.kube()) === undefined) return silent('no control plane can be reached')
    return await removeClusterMade(await session.clusterTools.kube(), {keepData}, tools)
  } catch (error) {
    tools.signal.throwIfAborted()
    if (!(error instanceof ClouderError)) throw error
    return silent(error.message)
  }
}

/** The control planes, as many as answer; undefined: there never was a cluster on them. */
async function sessionOf(
  record: ClusterRecord,
  spec: ClusterSpec,
  tools: SessionTools,
): Promise<Session | undefined> {
  if (record.endpoint === undefined || record.initialisedAt === undefined) return undefined
  return openToLook(
    {
      spec,
      machines: record.machines.filter(({role}) => role === 'control-plane'),
      endpoint: record.endpoint,
    },
    tools,
  )
}

export interface ByTagOptions {
  readonly kind: CloudKind
  readonly region: string | undefined
  readonly profile: string | undefined
  readonly account: string | undefined
  readonly dryRun: boolean
  /** Asked with everything that was found, one line each; throws AbortError DECLINED. */
  readonly confirm: (found: readonly string[]) => Promise<void>
}

/**
 * Removes everything in an account and region that carries a cluster's tag, with no record, no state and no API
 * server: for a cluster that this machine knows nothing of any more. Throws InfrastructureError LEFTOVERS.
 */
export async function terminateByTag(
  name: string,
  {kind, region, profile, account, dryRun, confirm}: ByTagOptions,
  tools: Pick<Tools, 'now' | 'openCloud' | 'report' | 'run' | 'signal' | 'store'>,
): Promise<TerminateResult> {
  await using _lock = dryRun ? undefined : await tools.store.lock(name, tools.run)
  const cloud = await tools.openCloud({kind, region, profile, account, signal: tools.signal})
  const found = await cloud.findOwned(name, tools.signal)
  const lines = found.map(nameOf)
  if (found.length === 0) await reportOthers(name, cloud, tools)
  if (dryRun || found.length === 0) return {cluster: name, removed: lines, skipped: []}
  await confirm(lines)
  const {removed, left} = await sweep({cluster: name, cloud, scope: 'all', keepData: false}, tools)
  throwLeftovers(name, left)
  return {cluster: name, removed: [...removed, ...(await forget(name, cloud, tools))], skipped: []}
}

/** A mistyped name, or another region, finds nothing. */
async function reportOthers(
  name: string,
  cloud: Cloud,
  {report, signal}: Pick<Tools, 'report' | 'signal'>,
): Promise<void> {
  const others = await cloud.ownedClusters(signal)
  const known = others.length === 0 ? 'nor of any other cluster' : `but of ${others.join(', ')}`
  const text = `nothing in ${cloud.region} has the tag of ${name}, ${known}`
  report({type: 'note', level: 'info', text})
}

/** What is remembered here of the cluster that is gone; one of its name in another place stays. */
async function forget(
  name: string,
  {kind, region}: Cloud,
  {store}: Pick<Tools, 'store'>,
): Promise<readonly string[]> {
  const record = await store.load(name)
  if (record?.provider !== kind) return []
  const {aws, azure} = specFromDocument(record.document).provider
  if ((kind === 'aws' ? aws.region : azure.location) !== region) return []
  if ((await store.defaultCluster()) === name) await store.setDefaultCluster(undefined)
  await store.remove(name)
  return [store.paths(name).dir]
}
