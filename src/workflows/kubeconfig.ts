import {KubernetesError} from '../errors.ts'
import {mergeKubeconfig} from '../kubernetes/kubeconfig.ts'
import {kubeconfigPhase} from '../phases/kubeconfig.ts'
import {specFromDocument} from '../spec/load.ts'
import {makeFolder, readIfThere, writeAtomically} from '../store/files.ts'
import {dirname} from 'node:path'
import {allMachines, recordOf} from './clusters.ts'
import {openToLook} from './session.ts'
import type {KubeconfigResult, Tools} from './types.ts'

/** Fetches the admin kubeconfig from a control plane into the cluster's folder (0600), and merges it where asked. */
export async function fetchKubeconfig(
  name: string,
  options: {readonly merge: boolean; readonly context: string | undefined},
  tools: Tools,
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
  if (text === undefined) throw new KubernetesError('API_UNREACHABLE', `no control plane of ${name} answers`)
  if (!options.merge) return {cluster: name, path, mergedContext: undefined}
  const context = options.context ?? name
  const mine = (await readIfThere(tools.userKubeconfig)) ?? ''
  await makeFolder(dirname(tools.userKubeconfig))
  await writeAtomically(tools.userKubeconfig, mergeKubeconfig(mine, text, context))
  return {cluster: name, path: tools.userKubeconfig, mergedContext: context}
}
