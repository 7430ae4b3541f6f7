import {z} from 'zod'
import type {PodProblem} from '../../../platform/release/pods.ts'
import {nodeSchema, parsePod} from '../../../kubernetes/pod.ts'
import {refOf} from '../../../kubernetes/refs.ts'
import type {KubeObject, KubeReader} from '../../../kubernetes/types.ts'
import {contains, parseCidr} from '../../../base/cidr.ts'

export {failingContainers, lastLogLines, type PodProblem} from '../../../platform/release/pods.ts'

/** Whatever makes pods and has to keep them running. */
const workloadSchema = z.looseObject({
  kind: z.enum(['DaemonSet', 'Deployment', 'StatefulSet']),
  metadata: z.looseObject({namespace: z.string()}),
  spec: z.looseObject({selector: z.looseObject({matchLabels: z.record(z.string(), z.string())})}),
})

/** Pods that kubeadm installs, and those of the workloads among the objects; others are the user's. */
export async function systemPods(
  kube: KubeReader,
  objects: readonly KubeObject[],
): Promise<readonly KubeObject[]> {
  const workloads = objects.flatMap((object) => {
    const {data} = workloadSchema.safeParse(object)
    return data === undefined ? [] : [{namespace: data.metadata.namespace, ...data.spec.selector}]
  })
  const namespaces = new Set(['kube-system', ...workloads.map(({namespace}) => namespace)])
  const pods = await Promise.all(
    [...namespaces].map((namespace) => kube.list({apiVersion: 'v1', kind: 'Pod', namespace})),
  )
  const ofKubeadm = (namespace: string, labels: Readonly<Record<string, string>>): boolean =>
    namespace === 'kube-system' &&
    (labels['tier'] === 'control-plane' || ['kube-dns', 'kube-proxy'].includes(labels['k8s-app'] ?? ''))
  return pods.flat().filter(({metadata: {namespace: place = '', labels = {}, deletionTimestamp}}) => {
    const isOurs = workloads.some(
      ({namespace, matchLabels}) =>
        namespace === place && Object.entries(matchLabels).every(([key, value]) => labels[key] === value),
    )
    return deletionTimestamp === undefined && (isOurs || ofKubeadm(place, labels))
  })
}

/** Pods whose address is not of their node's part of the pod network: another configuration than ours made them. */
export function podsOutsideNetwork(
  pods: readonly KubeObject[],
  nodes: readonly KubeObject[],
  podCidr: string,
): readonly PodProblem[] {
  const cidrsOf = new Map(
    nodes.map((node) => [node.metadata.name, nodeSchema.parse(node).spec.podCIDRs ?? []]),
  )
  return pods.flatMap((object): PodProblem[] => {
    const {spec, status} = parsePod(object)
    if (spec.hostNetwork === true || !['Running', 'Pending'].includes(status.phase ?? '')) return []
    const own = cidrsOf.get(spec.nodeName ?? '') ?? []
    const texts = own.length > 0 ? own : [podCidr]
    const cidrs = texts.flatMap((text) => parseCidr(text) ?? [])
    const outside = (status.podIPs ?? [])
      .map(({ip}) => ip)
      .filter((ip) => !cidrs.some((cidr) => contains(cidr, ip)))
    if (outside.length === 0) return []
    return [
      {
        pod: refOf(object),
        container: undefined,
        problem: `${nameOf(object)} has the address ${outside.join(', ')}, outside ${texts.join(', ')} of ${spec.nodeName ?? 'its node'}`,
      },
    ]
  })
}

const nameOf = ({metadata}: KubeObject): string => `pod ${metadata.namespace ?? ''}/${metadata.name}`
