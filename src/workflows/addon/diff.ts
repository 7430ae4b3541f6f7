import {addonReleases} from '../../bootstrap/phases/addon-releases.ts'
import {addonById} from '../../platform/addons/catalogue.ts'
import {installedReleases} from '../../platform/release/history.ts'
import {planRelease} from '../../platform/release/plan.ts'
import type {ReleasePlan} from '../../platform/release/types.ts'
import {specFromDocument} from '../../spec/load.ts'
import {recordOf} from '../session/clusters.ts'
import type {SessionTools} from '../session/types.ts'
import {specWithAddons, wantedAddons} from './changes.ts'
import {openAddonSession} from './cluster.ts'

export interface AddonDiff {
  readonly cluster: string
  /** Those that differ. */
  readonly plans: readonly ReleasePlan[]
}

/** What `init` or `addon upgrade` would change of one addon, or of all that are selected or installed; changes nothing. */
export async function diffAddons(
  cluster: string,
  id: string | undefined,
  tools: SessionTools,
): Promise<AddonDiff> {
  if (id !== undefined) addonById(id)
  const record = await recordOf(cluster, tools)
  const spec = specFromDocument(record.document)
  await using session = await openAddonSession(
    record,
    spec,
    {machines: 'control-planes', exclusive: false},
    tools,
  )
  const kube = await session.clusterTools.kube()
  const wanted = wantedAddons(spec, await installedReleases(kube, 'addon'))
  const isWanted = id === undefined || wanted.some(({addon}) => addon.id === id)
  const all = isWanted ? wanted : wantedAddons(specWithAddons(spec, [id], {}), [])
  const chosen = all.filter(({addon}) => id === undefined || addon.id === id)
  const releases = await addonReleases(session.context, chosen)
  const plans = await Promise.all(releases.map(({release}) => planRelease(kube, release)))
  return {cluster, plans: plans.filter(({changes}) => changes.length > 0)}
}
