import {z} from 'zod'
import type {KubeObject, KubeReader} from '../../kubernetes/types.ts'
import {kindKey} from './conditions.ts'

const WORKLOADS = new Set([
  'apps/Deployment',
  'apps/DaemonSet',
  'apps/StatefulSet',
  'apps/ReplicaSet',
  'batch/Job',
])
const selectorSchema = z.looseObject({
  spec: z.looseObject({
    selector: z.looseObject({matchLabels: z.record(z.string(), z.string()).nullish()}).nullish(),
  }),
})

/** The pods that a workload selects. */
export async function podsOf(kube: KubeReader, workload: KubeObject): Promise<readonly KubeObject[]> {
  if (!WORKLOADS.has(kindKey(workload))) return []
  const {matchLabels} = selectorSchema.parse(workload).spec.selector ?? {}
  const labels = Object.entries(matchLabels ?? {})
  const {namespace} = workload.metadata
  if (labels.length === 0 || namespace === undefined) return []
  const labelSelector = labels.map(([key, value]) => `${key}=${value}`).join(',')
  const pods = await kube.list({apiVersion: 'v1', kind: 'Pod', namespace, labelSelector})
  return pods.filter(({metadata}) => metadata.deletionTimestamp === undefined)
}
