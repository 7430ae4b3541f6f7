import {addonNotReady, installedAddons} from '../../bootstrap/phases/addon-releases.ts'
import {PlatformError} from '../../platform/errors.ts'
import {revisionsOf} from '../../platform/release/history.ts'
import {waitUntilReady} from '../../platform/release/readiness.ts'
import {rollbackTo} from '../../platform/release/rollback.ts'
import type {Revision} from '../../platform/release/types.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import {documentOf} from '../../spec/load.ts'
import {recordOf} from '../session/clusters.ts'
import type {SessionTools} from '../session/types.ts'
import {specWithParameters} from './changes.ts'
import {withAddons} from './cluster.ts'
import {asTask} from './release-task.ts'
import {notInstalled} from './status.ts'

const READY_TIMEOUT_MS = 300_000

/**
 * Goes back to an earlier revision, the one before by default, and waits until it is ready. The cluster's record has the
 * parameters of that revision from then on, as far as this version of the addon takes them. Throws PlatformError
 * RELEASE_UNKNOWN, RELEASE_NOT_READY.
 */
export async function rollbackAddon(
  cluster: string,
  id: string,
  revision: number | undefined,
  tools: SessionTools,
): Promise<{readonly cluster: string; readonly from: number; readonly revision: Revision}> {
  await using _lock = await tools.store.lock(cluster, tools.run)
  const record = await recordOf(cluster, tools)
  return await withAddons(cluster, tools, async ({kube, spec, context}) => {
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
    const made = await asTask(`Rolling back ${id} to revision ${target}`, cluster, tools, async (options) => {
      const back = await rollbackTo(kube, name, target, options)
      const document = documentOf(specOf(spec, back))
      await tools.store.update(cluster, (old) => ({...record, ...old, document}))
      const ready = async () => {
        const found = (await installedAddons(context, kube)).find((addon) => addon.id === id)
        return found === undefined ? [] : addonNotReady(kube, found)
      }
      await waitUntilReady(kube, ready, {...options, timeoutMs: READY_TIMEOUT_MS})
      return back
    })
    return {cluster, from: newest.revision, revision: made}
  })
}

/** The spec with the parameters of a revision; those of an older version of an addon may be none of today's. */
function specOf(spec: ClusterSpec, {name, parameters}: Revision): ClusterSpec {
  try {
    return specWithParameters(spec, name, parameters)
  } catch (error) {
    if (error instanceof PlatformError && error.code === 'ADDON_PARAMETERS_INVALID') return spec
    throw error
  }
}
