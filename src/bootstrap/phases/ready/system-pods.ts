import {AGENT, CONTROLLER} from '../../../platform/addons/checkpoint/names.ts'
import type {PodProblem} from '../../../platform/release/pods.ts'
import {SYSTEM_NAMESPACE} from '../../../api/names.ts'
import {nodeSchema, parsePod} from '../../../kubernetes/pod.ts'
import {refOf} from '../../../kubernetes/refs.ts'
import type {KubeObject, KubeReader} from '../../../kubernetes/types.ts'
import {contains, parseCidr} from '../../../base/cidr.ts'

export {failingContainers, lastLogLines, type PodProblem} from '../../../platform/release/pods.ts'

/** Pods that kubeadm and clouder install; other pods of the same namespaces are the user's. */
export async function systemPods(kube: KubeReader): Promise<readonly KubeObject[]> {
  const podsOf = (namespace: string): Promise<readonly KubeObject[]> =>
    kube.list({apiVersion: 'v1', kind: 'Pod', namespace})
  const [system, flannel, clouder] = await Promise.all(
    ['kube-system', 'kube-flannel', SYSTEM_NAMESPACE].map(podsOf),
  )
  const ofKubeadm = ({metadata: {labels = {}}}: KubeObject): boolean =>
    labels['tier'] === 'control-plane' || ['kube-dns', 'kube-proxy'].includes(labels['k8s-app'] ?? '')
  const ofClouder = ({metadata: {labels = {}}}: KubeObject): boolean =>
    [AGENT, CONTROLLER].includes(labels['app.kubernetes.io/name'] ?? '')
  return [
    ...(system ?? []).filter(ofKubeadm),
    ...(flannel ?? []),
    ...(clouder ?? []).filter(ofClouder),
  ].filter(({metadata}) => metadata.deletionTimestamp === undefined)
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
