import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {metadataOf, ON_CONTROL_PLANES, type Part, selectorOf} from './pods.ts'

/**
 * Where programs run that act in a cloud with the role of control planes: pods have no way to the metadata service,
 * so they share the network of the node. Names are resolved as on the node, because the names of the cloud must be
 * known before the cluster has DNS.
 */
export const ON_CONTROL_PLANE_HOSTS = {
  hostNetwork: true,
  dnsPolicy: 'Default',
  nodeSelector: {'node-role.kubernetes.io/control-plane': ''},
  tolerations: [
    ...ON_CONTROL_PLANES,
    // A node that a cloud provider has still to initialise.
    {key: 'node.cloudprovider.kubernetes.io/uninitialized', operator: 'Exists', effect: 'NoSchedule'},
  ],
  priorityClassName: 'system-cluster-critical',
}

/** Two where there are control planes enough to lose one. */
export const controllerReplicas = ({controlPlane}: ClusterSpec): number =>
  (controlPlane.count ?? 1) > 1 ? 2 : 1

/** Ports of a node belong to one pod: a second one on it would never start, and a new one waits for the old one. */
export const oneOnEachHost = (part: Part) => ({
  strategy: {type: 'RollingUpdate', rollingUpdate: {maxSurge: 0, maxUnavailable: 1}},
  affinity: {
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        {topologyKey: 'kubernetes.io/hostname', labelSelector: {matchLabels: selectorOf(part)}},
      ],
    },
  },
})

/**
 * Where programs with the network of their node listen: above the ports that the kernel gives to connections. All but
 * the webhook listen on loopback, where the kubelet probes them; 9808 and 9809, which CSI drivers use elsewhere, are
 * those of the checkpoint programs.
 */
export const NODE_PORTS_OF_ADDONS = {
  awsCloudProvider: 61_700,
  azureCloudProvider: 61_701,
  ebsController: 61_702,
  efsController: 61_703,
  efsNode: 61_704,
  azureDiskController: 61_705,
  azureFileController: 61_706,
  azureFileNode: 61_707,
  loadBalancerHealth: 61_708,
  loadBalancerMetrics: 61_709,
  loadBalancerWebhook: 61_710,
}

/** A probe of what listens on loopback of the node. */
export const onLoopback = (port: number, path = '/healthz', scheme: 'HTTP' | 'HTTPS' = 'HTTP') => ({
  httpGet: {host: '127.0.0.1', port, path, scheme},
})

/** A program that serves an API of its own asks the API server which requests are the API server's. */
export const readsAuthentication = (part: Part): KubeObject => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'RoleBinding',
  metadata: {...metadataOf(part), name: `${part.name}-authentication`},
  roleRef: {
    apiGroup: 'rbac.authorization.k8s.io',
    kind: 'Role',
    name: 'extension-apiserver-authentication-reader',
  },
  subjects: [{kind: 'ServiceAccount', name: part.name, namespace: part.namespace}],
})
