import {access} from 'node:fs/promises'
import {KubernetesError} from '../../kubernetes/errors.ts'
import {mergeKubeconfig} from '../../kubernetes/kubeconfig-merge.ts'
import {kubeconfigPhase} from '../../bootstrap/phases/kubeconfig.ts'
import {specFromDocument} from '../../spec/load.ts'
import {readIfThere} from '../../base/files.ts'
import {changeUserFiles} from '../../store/user-files.ts'
import {allMachines, recordOf} from '../session/clusters.ts'
import {openToLook} from '../session/session.ts'
import type {KubeconfigResult, SessionTools, Tools} from '../session/types.ts'

export interface MergeChoice {
  /** Name of the context; without it that of the cluster. */
  readonly context: string | undefined
  /** Replaces entries of that name that are not this cluster's. */
  readonly force: boolean
  /** Makes it the current context. */
  readonly use: boolean
}

/** Fetches the admin kubeconfig from a control plane into the cluster's folder (0600), and merges it into the user's own where asked. */
export async function fetchKubeconfig(
  name: string,
  merge: MergeChoice | undefined,
  tools: SessionTools & Pick<Tools, 'userKubeconfigs'>,
): Promise<KubeconfigResult> {
  const record = await recordOf(name, tools)
  const {endpoint} = record
  if (endpoint === undefined)
    throw new KubernetesError('API_UNREACHABLE', `cluster ${name} has no machines yet`)
  const path = tools.store.paths(name).kubeconfig
  await using session = await openToLook(
    {
      spec: specFromDocument(record.document),
      machines: allMachines(record).filter(({role}) => role === 'control-plane'),
      endpoint,
    },
    tools,
  )
  await session.run([kubeconfigPhase(path, readIfThere)], {
    dryRun: false,
    skipPhases: [],
    ignorePreflight: [],
    concurrency: 1,
  })
  const text = await readIfThere(path)
  if (text === undefined) throw new KubernetesError('API_UNREACHABLE', `no control plane of ${name} responds`)
  return merge === undefined ? {cluster: name, path} : await mergeIntoUsers(name, text, merge, tools)
}

async function mergeIntoUsers(
  cluster: string,
  text: string,
  {force, use, ...options}: MergeChoice,
  tools: Pick<Tools, 'userKubeconfigs' | 'signal'>,
): Promise<KubeconfigResult> {
  const paths = tools.userKubeconfigs
  const target = await targetOf(paths)
  const context = options.context ?? cluster
  const {current, before} = await changeUserFiles(
    paths,
    (files) => mergeKubeconfig(files, text, {cluster, context, force, use, target}),
    {signal: tools.signal},
  )
  return {cluster, path: target, mergedContext: context, currentContext: current, previousContext: before}
}

/** Where kubectl puts what is new: the first file that is there, else the last. */
async function targetOf(paths: readonly string[]): Promise<string> {
  for (const path of paths) {
    const isThere = await access(path).then(
      () => true,
      () => false,
    )
    if (isThere) return path
  }
  return paths.at(-1) ?? ''
}
