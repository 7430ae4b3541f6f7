import {errorMessage} from '../../base/errors.ts'
import {ADDONS} from '../../platform/addons/catalogue.ts'
import {providersOf} from '../../platform/addons/selection.ts'
import {PlatformError} from '../../platform/errors.ts'
import type {ApplyOptions} from '../../platform/release/apply.ts'
import {installedReleases, revisionsOf} from '../../platform/release/history.ts'
import {removeRelease} from '../../platform/release/remove.ts'
import {rollbackTo} from '../../platform/release/rollback.ts'
import type {Revision} from '../../platform/release/types.ts'
import {documentOf} from '../../spec/load.ts'
import {lockHolder} from '../session/lock-holder.ts'
import {recordOf} from '../session/clusters.ts'
import type {SessionTools} from '../session/types.ts'
import {specWithoutAddon} from './changes.ts'
import {withAddons, type AddonCluster} from './cluster.ts'
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

/** Goes back to an earlier revision, the one before by default. Throws PlatformError RELEASE_UNKNOWN. */
export async function rollbackAddon(
  cluster: string,
  id: string,
  revision: number | undefined,
  tools: SessionTools,
): Promise<{readonly cluster: string; readonly from: number; readonly revision: Revision}> {
  await using _lock = await tools.store.lock(cluster, tools.run)
  return await withAddons(cluster, tools, async ({kube}) => {
    const name = {owner: 'addon', name: id} as const
    const revisions = (await revisionsOf(kube, name)).toSorted((one, two) => two.revision - one.revision)
    const [newest] = revisions
    if (newest === undefined) throw notInstalled(id, cluster)
    const before = revisions.find(
      (one) => one.revision < newest.revision && (one.state === 'deployed' || one.state === 'superseded'),
    )
    const target = revision ?? before?.revision
    if (target === undefined)
      throw new PlatformError('RELEASE_UNKNOWN', `addon ${id} has no earlier revision in cluster ${cluster}`)
    const made = await asTask(`Rolling back ${id} to revision ${target}`, cluster, tools, (options) =>
      rollbackTo(kube, name, target, options),
    )
    return {cluster, from: newest.revision, revision: made}
  })
}

/** Work on a release as a task that shows how far it is. */
async function asTask<T>(
  title: string,
  cluster: string,
  {signal, now, run, report, store}: SessionTools,
  work: (options: ApplyOptions) => Promise<T>,
): Promise<T> {
  const task = 'release'
  const startedMs = now()
  report({type: 'task-started', task, title})
  try {
    const progress = (text: string): void => report({type: 'task-progress', task, text})
    const done = await work({signal, now, progress, ...lockHolder(store.paths(cluster), run)})
    report({type: 'task-done', task, durationMs: now() - startedMs})
    return done
  } catch (error) {
    report({type: 'task-failed', task, durationMs: now() - startedMs, message: errorMessage(error)})
    throw error
  }
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
