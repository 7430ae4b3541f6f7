import type {KubeObject} from '../../kubernetes/types.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {ClusterFacts} from './addon.ts'

const CONTROL_PLANE = 'node-role.kubernetes.io/control-plane'
/** The user of programs that need no other: in images it is called `nonroot`. */
const NON_ROOT = 65_532

/** Which part of an addon an object belongs to. */
export interface Part {
  readonly addon: string
  readonly name: string
  readonly namespace: string
}

export const labelsOf = ({addon, name}: Pick<Part, 'addon' | 'name'>) => ({
  'clouder.dev/addon': addon,
  'app.kubernetes.io/name': name,
})

export const metadataOf = (part: Part) => ({
  name: part.name,
  namespace: part.namespace,
  labels: labelsOf(part),
})

/** What no other object of the cluster shares: a name of its own in every namespace. */
export const clusterMetadataOf = ({addon, name}: Pick<Part, 'addon' | 'name'>) => ({
  name,
  labels: labelsOf({addon, name}),
})

/** Pods are found by their part alone: a selector cannot change later. */
export const selectorOf = ({name}: Pick<Part, 'name'>) => ({'app.kubernetes.io/name': name})

/**
 * The metadata of a pod template. An image of clouder's own build has one name from build to build: its digest makes
 * pods be replaced when it is another one.
 */
export const podMetadataOf = (part: Part, image: {readonly digest: string}, annotations: object = {}) => ({
  labels: labelsOf(part),
  annotations: {'clouder.dev/image-digest': image.digest, ...annotations},
})

export function namespaceOf(
  addon: string,
  name: string,
  level: 'restricted' | 'baseline' | 'privileged',
): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name,
      labels: {
        'clouder.dev/addon': addon,
        'pod-security.kubernetes.io/enforce': level,
        'pod-security.kubernetes.io/warn': level,
      },
    },
  }
}

/** What a program gets that needs nothing of its node. */
export const UNPRIVILEGED = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: {drop: ['ALL']},
}

export const asUser = (id: number = NON_ROOT) => ({
  runAsNonRoot: true,
  runAsUser: id,
  runAsGroup: id,
  fsGroup: id,
  fsGroupChangePolicy: 'OnRootMismatch',
  seccompProfile: {type: 'RuntimeDefault'},
})

/** For parts of the system that a cluster of control planes alone needs too. */
export const ON_CONTROL_PLANES = [{key: CONTROL_PLANE, operator: 'Exists', effect: 'NoSchedule'}]

/** Two replicas stay on two nodes where there are two. */
export const apart = (part: Part) => ({
  podAntiAffinity: {
    preferredDuringSchedulingIgnoredDuringExecution: [
      {
        weight: 100,
        podAffinityTerm: {
          topologyKey: 'kubernetes.io/hostname',
          labelSelector: {matchLabels: selectorOf(part)},
        },
      },
    ],
  },
})

export const serviceAccount = (part: Part): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  metadata: metadataOf(part),
  // Pods that talk to the API server mount its token themselves.
  automountServiceAccountToken: false,
})

export interface Rule {
  readonly apiGroups?: readonly string[]
  readonly resources?: readonly string[]
  readonly resourceNames?: readonly string[]
  readonly nonResourceURLs?: readonly string[]
  readonly verbs: readonly string[]
}

/** A ClusterRole and its binding to the account of a part. */
export const clusterRole = (part: Part, rules: readonly Rule[]): readonly KubeObject[] => [
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: clusterMetadataOf(part),
    rules,
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: clusterMetadataOf(part),
    roleRef: {apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: part.name},
    subjects: [{kind: 'ServiceAccount', name: part.name, namespace: part.namespace}],
  },
]

/** A Role of one namespace, by default the part's own, and its binding to the account of a part. */
export const role = (
  part: Part,
  rules: readonly Rule[],
  namespace: string = part.namespace,
): readonly KubeObject[] => [
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: {...metadataOf(part), namespace},
    rules,
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: {...metadataOf(part), namespace},
    roleRef: {apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: part.name},
    subjects: [{kind: 'ServiceAccount', name: part.name, namespace: part.namespace}],
  },
]

export const disruptionBudget = (part: Part): KubeObject => ({
  apiVersion: 'policy/v1',
  kind: 'PodDisruptionBudget',
  metadata: metadataOf(part),
  spec: {maxUnavailable: 1, selector: {matchLabels: selectorOf(part)}},
})

/** Workers of a spec. */
export const workersOf = (spec: ClusterSpec): number =>
  spec.workers.reduce((sum, {count, hosts}) => sum + (count ?? (hosts.length > 0 ? hosts.length : 1)), 0)

/** Two where there are workers enough to lose one, for what the API server calls while others wait. */
export const webhookReplicas = ({spec}: ClusterFacts): number => (workersOf(spec) >= 3 ? 2 : 1)
