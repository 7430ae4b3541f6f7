import {AbortError, errorMessage} from '../../base/errors.ts'
import {clusterFacts} from '../../bootstrap/phases/addon-releases.ts'
import type {KubeClient} from '../../kubernetes/types.ts'
import type {Addon, ClusterFacts} from '../../platform/addons/addon.ts'
import {addonById, ADDONS} from '../../platform/addons/catalogue.ts'
import {installedReleases} from '../../platform/release/history.ts'
import {specFromDocument} from '../../spec/load.ts'
import {smokeNamespace} from '../checkpoint/smoke-pods.ts'
import {recordOf} from '../session/clusters.ts'
import type {SessionTools, SmokeCheck, SmokeResult} from '../session/types.ts'
import {openAddonSession} from './cluster.ts'
import {notInstalled} from './status.ts'

/** Has addons prove that they do their work: those of these ids, or all that are installed and can. */
export async function smokeAddons(
  cluster: string,
  ids: readonly string[],
  tools: SessionTools,
): Promise<SmokeResult> {
  for (const id of ids) addonById(id)
  await using _lock = await tools.store.lock(cluster, tools.run)
  const record = await recordOf(cluster, tools)
  const options = {machines: 'control-planes', exclusive: false} as const
  await using session = await openAddonSession(record, specFromDocument(record.document), options, tools)
  const kube = await session.clusterTools.kube()
  const installed = new Set((await installedReleases(kube, 'addon')).map(({name}) => name))
  const missing = ids.find((id) => !installed.has(id))
  if (missing !== undefined) throw notInstalled(missing, cluster)
  const chosen = ADDONS.filter(({id, smoke}) =>
    ids.length === 0 ? installed.has(id) && smoke !== undefined : ids.includes(id),
  )
  const facts = await clusterFacts(session.context, chosen)
  const checks: SmokeCheck[] = []
  for (const addon of chosen) checks.push(await smokeOne(addon, kube, facts, tools))
  return {cluster, passed: checks.every(({passed}) => passed), checks}
}

async function smokeOne(
  addon: Addon,
  kube: KubeClient,
  facts: ClusterFacts,
  {report, signal, now, run}: SessionTools,
): Promise<SmokeCheck> {
  const startedMs = now()
  const task = `smoke-${addon.id}`
  const namespace = `clouder-smoke-${addon.id}-${run.replace(/[^a-z0-9]+/gi, '-').toLowerCase()}`
    .slice(0, 63)
    .replace(/-$/, '')
  report({type: 'task-started', task, title: `Testing ${addon.title}`})
  const ended = (passed: boolean, detail: string): SmokeCheck => {
    const durationMs = now() - startedMs
    if (passed) report({type: 'task-done', task, durationMs})
    else report({type: 'task-failed', task, durationMs, message: detail})
    return {name: addon.id, passed, detail, durationMs}
  }
  if (addon.smoke === undefined) return ended(true, 'has no test of its own')
  await kube.apply(smokeNamespace(namespace), signal)
  try {
    await addon.smoke.run({
      ...{kube, facts, namespace, signal},
      progress: (text) => report({type: 'task-progress', task, text}),
    })
    return ended(true, addon.smoke.proves)
  } catch (error) {
    if (error instanceof AbortError || signal.aborted) throw error
    return ended(false, errorMessage(error))
  } finally {
    await kube.delete({apiVersion: 'v1', kind: 'Namespace', name: namespace})
  }
}
