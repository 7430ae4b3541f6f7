import type {KubeObject} from '../../../kubernetes/types.ts'
import {
  apart,
  asUser,
  clusterRole,
  disruptionBudget,
  labelsOf,
  metadataOf,
  ON_CONTROL_PLANES,
  podMetadataOf,
  selectorOf,
  serviceAccount,
  UNPRIVILEGED,
} from '../pods.ts'

export const PART = {addon: 'metrics-server', name: 'metrics-server', namespace: 'kube-system'}

const PORT = 10_250
const CLUSTER_CA = '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt'

export interface MetricsServerOptions {
  readonly image: {readonly reference: string; readonly digest: string}
  readonly resolutionSeconds: number
  readonly replicas: number
}

export const metricsServerObjects = (options: MetricsServerOptions): readonly KubeObject[] => [
  serviceAccount(PART),
  ...clusterRole(PART, [
    {apiGroups: [''], resources: ['nodes/metrics'], verbs: ['get']},
    {apiGroups: [''], resources: ['pods', 'nodes'], verbs: ['get', 'list', 'watch']},
  ]),
  ...delegation(),
  viewers(),
  deployment(options),
  ...(options.replicas > 1 ? [disruptionBudget(PART)] : []),
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataOf(PART),
    spec: {
      selector: selectorOf(PART),
      ports: [{name: 'https', port: 443, targetPort: 'https', protocol: 'TCP'}],
    },
  },
  {
    apiVersion: 'apiregistration.k8s.io/v1',
    kind: 'APIService',
    metadata: {name: 'v1beta1.metrics.k8s.io', labels: labelsOf(PART)},
    spec: {
      group: 'metrics.k8s.io',
      version: 'v1beta1',
      groupPriorityMinimum: 100,
      versionPriority: 100,
      service: {name: PART.name, namespace: PART.namespace, port: 443},
      // It makes a certificate of its own at each start, and no authority of the cluster signs one for a service. What
      // the API server sends it are names and the user who asks; no credential is among them.
      insecureSkipTLSVerify: true,
    },
  },
]

/** The API server asks on behalf of a user: whether it is the API server, and what the user may read. */
const delegation = (): readonly KubeObject[] => [
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: {name: `${PART.name}:auth-delegator`, labels: labelsOf(PART)},
    roleRef: {apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:auth-delegator'},
    subjects: [{kind: 'ServiceAccount', name: PART.name, namespace: PART.namespace}],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: {...metadataOf(PART), name: `${PART.name}:auth-reader`},
    roleRef: {
      apiGroup: 'rbac.authorization.k8s.io',
      kind: 'Role',
      name: 'extension-apiserver-authentication-reader',
    },
    subjects: [{kind: 'ServiceAccount', name: PART.name, namespace: PART.namespace}],
  },
]

/** Whoever may view, edit or administer a namespace may see what its pods use. */
const viewers = (): KubeObject => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRole',
  metadata: {
    name: `${PART.name}:viewer`,
    labels: {
      ...labelsOf(PART),
      ...Object.fromEntries(
        ['view', 'edit', 'admin'].map((name) => [`rbac.authorization.k8s.io/aggregate-to-${name}`, 'true']),
      ),
    },
  },
  rules: [{apiGroups: ['metrics.k8s.io'], resources: ['pods', 'nodes'], verbs: ['get', 'list', 'watch']}],
})

const probe = (path: string) => ({httpGet: {path, port: 'https', scheme: 'HTTPS'}, timeoutSeconds: 5})

function deployment({image, resolutionSeconds, replicas}: MetricsServerOptions): KubeObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: metadataOf(PART),
    spec: {
      replicas,
      selector: {matchLabels: selectorOf(PART)},
      strategy: {type: 'RollingUpdate', rollingUpdate: {maxUnavailable: replicas > 1 ? 1 : 0, maxSurge: 1}},
      template: {
        metadata: podMetadataOf(PART, image),
        spec: {
          serviceAccountName: PART.name,
          automountServiceAccountToken: true,
          enableServiceLinks: false,
          priorityClassName: 'system-cluster-critical',
          nodeSelector: {'kubernetes.io/os': 'linux'},
          tolerations: ON_CONTROL_PLANES,
          affinity: apart(PART),
          securityContext: asUser(),
          containers: [
            {
              name: PART.name,
              image: image.reference,
              imagePullPolicy: 'IfNotPresent',
              args: [
                '--cert-dir=/tmp',
                `--secure-port=${PORT}`,
                `--metric-resolution=${resolutionSeconds}s`,
                '--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname',
                '--kubelet-use-node-status-port',
                `--kubelet-certificate-authority=${CLUSTER_CA}`,
              ],
              ports: [{name: 'https', containerPort: PORT, protocol: 'TCP'}],
              readinessProbe: {...probe('/readyz'), periodSeconds: 3},
              livenessProbe: {...probe('/livez'), periodSeconds: 10, failureThreshold: 6},
              resources: {requests: {cpu: '50m', memory: '64Mi'}},
              securityContext: UNPRIVILEGED,
              volumeMounts: [{name: 'tmp', mountPath: '/tmp'}],
            },
          ],
          volumes: [{name: 'tmp', emptyDir: {sizeLimit: '16Mi'}}],
        },
      },
    },
  }
}
