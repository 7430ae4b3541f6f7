import {ADDONS} from '../../platform/addons/catalogue.ts'
import {providersOf} from '../../platform/addons/selection.ts'
import {PlatformError} from '../../platform/errors.ts'
import {installedReleases} from '../../platform/release/history.ts'
import {removeRelease} from '../../platform/release/remove.ts'
import type {Revision} from '../../platform/release/types.ts'
import {documentOf} from '../../spec/load.ts'
import {recordOf} from '../session/clusters.ts'
import type {SessionTools} from '../session/types.ts'
import {specWithoutAddon} from './changes.ts'
import {withAddons, type AddonCluster} from './cluster.ts'
import {asTask} from './release-task.ts'
import {notInstalled} from './status.ts'

export interface AddonRemoval {
  readonly cluster: string
  readonly id: string
  readonly version: string
  /** Objects that are gone. */
  readonly objects: number
}

/**
 * Removes an addon with all its objects, unless something uses it. The cluster's record does not select it any longer.
 * Throws PlatformError ADDON_IN_USE, RELEASE_UNKNOWN.
 */
export async function removeAddon(
  cluster: string,
  id: string,
  confirm: (found: Revision) => Promise<void>,
  tools: SessionTools,
): Promise<AddonRemoval> {
  await using _lock = await tools.store.lock(cluster, tools.run)
  const record = await recordOf(cluster, tools)
  return await withAddons(cluster, tools, async (opened) => {
    const installed = await installedReleases(opened.kube, 'addon')
    const found = installed.find(({name}) => name === id)
    if (found === undefined) throw notInstalled(id, cluster)
    await refuseInUse(id, installed, opened)
    await confirm(found)
    await asTask(`Removing ${id} ${found.version}`, cluster, tools, (options) =>
      removeRelease(opened.kube, {owner: 'addon', name: id}, options),
    )
    const spec = specWithoutAddon(opened.spec, id)
    await tools.store.update(cluster, (old) => ({...record, ...old, document: documentOf(spec)}))
    return {cluster, id, version: found.version, objects: found.objects.length}
  })
}

/** What of the cluster would break without it: other addons, and what users made. */
async function refuseInUse(
  id: string,
  installed: readonly Revision[],
  {cluster, kube}: AddonCluster,
): Promise<void> {
  const addon = ADDONS.find((other) => other.id === id)
  if (addon === undefined) return
  const others = ADDONS.filter((other) => other.id !== id && installed.some(({name}) => name === other.id))
  const dependents = others
    .filter((other) => providersOf(other, [addon, ...others]).includes(addon))
    .map((other) => `addon ${other.id} needs it`)
  const uses = [...dependents, ...((await addon.usedBy?.(kube)) ?? [])]
  if (uses.length === 0) return
  const shown = uses.slice(0, 10)
  const more = uses.length - shown.length
  const lines = [...shown, ...(more === 0 ? [] : [`and ${more} more`])].map((line) => `  ${line}`)
  throw new PlatformError('ADDON_IN_USE', `addon ${id} is in use:\n${lines.join('\n')}`, {
    suggestions: [`remove what uses it, then: clouder addon remove ${id} --cluster ${cluster}`],
  })
}
