import {addonReleases, type AddonRelease} from '../../bootstrap/phases/addon-releases.ts'
import {chosenAddonsPhase} from '../../bootstrap/phases/addons.ts'
import {imagesPhase} from '../../bootstrap/phases/images.ts'
import type {PlannedStep} from '../../bootstrap/engine/types.ts'
import type {KubeReader} from '../../kubernetes/types.ts'
import {addonById} from '../../platform/addons/catalogue.ts'
import {selectAddons} from '../../platform/addons/selection.ts'
import {installedReleases} from '../../platform/release/history.ts'
import {planRelease} from '../../platform/release/plan.ts'
import type {ReleasePlan} from '../../platform/release/types.ts'
import {documentOf, specFromDocument} from '../../spec/load.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {ClusterRecord} from '../../store/types.ts'
import {recordOf} from '../session/clusters.ts'
import type {Session} from '../session/session.ts'
import type {SessionTools} from '../session/types.ts'
import {specWithAddons, wantedAddons, withNeeds} from './changes.ts'
import {openAddonSession} from './cluster.ts'
import {notInstalled} from './status.ts'

export interface ChangeOptions {
  readonly dryRun: boolean
  /** Asked with what would change, before it does; throws AbortError DECLINED. */
  readonly confirm: (plans: readonly ReleasePlan[]) => Promise<void>
}

export interface AddonChangeResult {
  readonly cluster: string
  readonly dryRun: boolean
  /** What changed, or would change; empty: everything was as wanted. */
  readonly plans: readonly ReleasePlan[]
  readonly steps: readonly PlannedStep[]
}

/**
 * Installs an addon with everything that it needs, loads their images onto all nodes, and waits until they are ready. The
 * cluster's record selects it from then on. Throws PlatformError.
 */
export async function installAddon(
  cluster: string,
  id: string,
  parameters: Readonly<Record<string, unknown>>,
  options: ChangeOptions,
  tools: SessionTools,
): Promise<AddonChangeResult> {
  addonById(id)
  await using _lock = options.dryRun ? undefined : await tools.store.lock(cluster, tools.run)
  const record = await recordOf(cluster, tools)
  const spec = specWithAddons(specFromDocument(record.document), [id], parameters)
  const selected = selectAddons(spec)
  const ids = withNeeds([id], selected)
  const chosen = selected.filter(({addon}) => ids.includes(addon.id))
  return await applyAddons(record, spec, (context) => addonReleases(context, chosen), options, tools)
}

/** Brings one addon, or all that are installed, to what this version of clouder and the spec say. */
export async function upgradeAddons(
  cluster: string,
  id: string | undefined,
  options: ChangeOptions,
  tools: SessionTools,
): Promise<AddonChangeResult> {
  if (id !== undefined) addonById(id)
  await using _lock = options.dryRun ? undefined : await tools.store.lock(cluster, tools.run)
  const record = await recordOf(cluster, tools)
  const spec = specFromDocument(record.document)
  const releasesOf = async (context: Session['context'], kube: KubeReader) => {
    const installed = await installedReleases(kube, 'addon')
    if (id !== undefined && !installed.some(({name}) => name === id)) throw notInstalled(id, cluster)
    const wanted = wantedAddons(spec, installed).filter(({addon}) =>
      id === undefined ? installed.some(({name}) => name === addon.id) : addon.id === id,
    )
    return addonReleases(context, wanted)
  }
  return await applyAddons(record, spec, releasesOf, options, tools)
}

async function applyAddons(
  record: ClusterRecord,
  spec: ClusterSpec,
  releasesOf: (context: Session['context'], kube: KubeReader) => Promise<readonly AddonRelease[]>,
  {dryRun, confirm}: ChangeOptions,
  tools: SessionTools,
): Promise<AddonChangeResult> {
  const cluster = record.name
  await using session = await openAddonSession(
    record,
    spec,
    {machines: dryRun ? 'control-planes' : 'all', exclusive: !dryRun},
    tools,
  )
  const kube = await session.clusterTools.kube()
  const releases = await releasesOf(session.context, kube)
  const all = await Promise.all(releases.map(({release}) => planRelease(kube, release)))
  const plans = all.filter(({changes}) => changes.length > 0)
  if (dryRun) return {cluster, dryRun, plans, steps: []}
  if (plans.length > 0) await confirm(plans)
  // Whatever becomes of this run, the next init goes on with it.
  await tools.store.update(cluster, (old) => ({...record, ...old, document: documentOf(spec)}))
  const flags = {dryRun, skipPhases: [], ignorePreflight: [], concurrency: 20}
  const summary = await session.run([imagesPhase, chosenAddonsPhase(() => Promise.resolve(releases))], flags)
  return {cluster, dryRun, plans, steps: summary.steps}
}
