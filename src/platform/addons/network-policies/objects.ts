import type {KubeObject} from '../../../kubernetes/types.ts'
import {clusterRole, metadataOf, podMetadataOf, selectorOf, serviceAccount} from '../pods.ts'

export const PART = {addon: 'network-policies', name: 'kube-router', namespace: 'kube-system'}

/** Of kube-router itself; it cannot be bound to one address. */
const HEALTH_PORT = 20_244
const probe = {httpGet: {host: '127.0.0.1', path: '/healthz', port: HEALTH_PORT}, timeoutSeconds: 5}

export interface KubeRouterOptions {
  readonly image: {readonly reference: string; readonly digest: string}
  readonly serviceCidr: string
  /** The API server as nodes reach it, `host:port`. */
  readonly api: string
}

/** kube-router with its firewall alone: routes are flannel's, services are kube-proxy's. */
export const kubeRouterObjects = (options: KubeRouterOptions): readonly KubeObject[] => [
  serviceAccount(PART),
  ...clusterRole(PART, [
    {apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list', 'watch']},
    // Services and their endpoints too: its caches are filled before any part of it starts.
    {apiGroups: [''], resources: ['pods', 'namespaces', 'services', 'endpoints'], verbs: ['list', 'watch']},
    {apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch']},
    {apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'], verbs: ['list', 'watch']},
  ]),
  daemonSet(options),
]

function daemonSet({image, serviceCidr, api}: KubeRouterOptions): KubeObject {
  const colon = api.lastIndexOf(':')
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: metadataOf(PART),
    spec: {
      selector: {matchLabels: selectorOf(PART)},
      updateStrategy: {type: 'RollingUpdate', rollingUpdate: {maxUnavailable: '10%'}},
      template: {
        metadata: podMetadataOf(PART, image),
        spec: {
          serviceAccountName: PART.name,
          automountServiceAccountToken: true,
          enableServiceLinks: false,
          hostNetwork: true,
          priorityClassName: 'system-node-critical',
          nodeSelector: {'kubernetes.io/os': 'linux'},
          tolerations: [{operator: 'Exists'}],
          securityContext: {runAsUser: 0, runAsGroup: 0, seccompProfile: {type: 'RuntimeDefault'}},
          containers: [
            {
              name: PART.name,
              image: image.reference,
              imagePullPolicy: 'IfNotPresent',
              args: [
                '--run-firewall=true',
                '--run-router=false',
                '--run-service-proxy=false',
                `--service-cluster-ip-range=${serviceCidr}`,
                `--health-port=${HEALTH_PORT}`,
                // Events are applied at once; this corrects what others changed in the node's tables.
                '--iptables-sync-period=1m',
              ],
              env: [
                {name: 'NODE_NAME', valueFrom: {fieldRef: {fieldPath: 'spec.nodeName'}}},
                // Not the service's address: a node whose services do not work yet has policies already.
                {name: 'KUBERNETES_SERVICE_HOST', value: api.slice(0, colon).replace(/^\[|\]$/g, '')},
                {name: 'KUBERNETES_SERVICE_PORT', value: api.slice(colon + 1)},
              ],
              readinessProbe: {...probe, periodSeconds: 3},
              livenessProbe: {...probe, periodSeconds: 10, failureThreshold: 6, initialDelaySeconds: 10},
              resources: {requests: {cpu: '25m', memory: '64Mi'}},
              // Root with two capabilities: it writes the tables and sets of the node's network.
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: {drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW']},
              },
              volumeMounts: [{name: 'xtables-lock', mountPath: '/run/xtables.lock'}],
            },
          ],
          volumes: [{name: 'xtables-lock', hostPath: {path: '/run/xtables.lock', type: 'FileOrCreate'}}],
        },
      },
    },
  }
}
