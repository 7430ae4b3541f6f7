import {z} from 'zod'
import {isReady, parsePod} from '../../../kubernetes/pod.ts'
import type {KubeReader} from '../../../kubernetes/types.ts'
import type {NotReady} from '../../release/types.ts'
import {defineAddon} from '../addon.ts'
import {selectorOf} from '../pods.ts'
import {kubeRouterObjects, PART} from './objects.ts'
import {smokeNetworkPolicies} from './smoke.ts'

/** NetworkPolicies are enforced, which flannel does not do. */
export const networkPoliciesAddon = defineAddon({
  id: PART.addon,
  title: 'Network policies',
  version: '2.1.0',
  description: 'enforces NetworkPolicies on every node: the firewall of kube-router, beside flannel',
  profile: 'standard',
  stage: 'platform',
  needs: ['pod-network'],
  provides: ['network-policies'],
  images: ['kube-router'],
  parameters: () => z.strictObject({}),
  unavailable: ({network}) =>
    network.cni === 'none'
      ? 'spec.network.cni is none: your own pod network has to enforce policies, two programs would contradict each other'
      : undefined,
  objects: (_, {spec, apiAddress, image}) =>
    kubeRouterObjects({
      image: image('kube-router'),
      serviceCidr: spec.network.serviceCidr,
      api: apiAddress,
    }),
  ready: (kube) => uncoveredNodes(kube),
  usedBy: async (kube) =>
    (await kube.list({apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy'})).map(
      ({metadata}) => `NetworkPolicy ${metadata.namespace ?? ''}/${metadata.name} is enforced by it`,
    ),
  smoke: {
    proves: 'a policy blocks one client and admits another, on the same node and between nodes',
    run: smokeNetworkPolicies,
  },
})

/** A DaemonSet that is deleted, or kept off a node, is ready in its own eyes: policies are enforced on none of its nodes. */
async function uncoveredNodes(kube: KubeReader): Promise<readonly NotReady[]> {
  const {name, namespace} = PART
  const labels = Object.entries(selectorOf(PART)).map(([key, value]) => `${key}=${value}`)
  const [nodes, pods] = await Promise.all([
    kube.list({apiVersion: 'v1', kind: 'Node'}),
    kube.list({apiVersion: 'v1', kind: 'Pod', namespace, labelSelector: labels.join(',')}),
  ])
  const covered = new Set(
    pods
      .map(parsePod)
      .filter(isReady)
      .map(({spec}) => spec.nodeName),
  )
  return nodes
    .filter(({metadata}) => !covered.has(metadata.name))
    .map(({metadata}) => ({
      ref: {apiVersion: 'apps/v1', kind: 'DaemonSet', namespace, name},
      problem: `node ${metadata.name} has no Ready pod of it: policies are not enforced there`,
      isStuck: false,
    }))
}
