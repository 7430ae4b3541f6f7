import {SYSTEM_NAMESPACE} from '../../../api/names.ts'
import {RESOURCES} from '../../../api/resources.ts'
import type {KubeObject} from '../../../kubernetes/types.ts'
import {addonLabels, AGENT, CONTROLLER} from './names.ts'

const RBAC = 'rbac.authorization.k8s.io'
const CERTIFICATES = 'certificates.k8s.io'
const OURS = 'clouder.dev'
const READ = ['get', 'list', 'watch']
const WRITE = ['create', 'update', 'patch', 'delete', 'deletecollection']

interface Rule {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly verbs: readonly string[]
  readonly resourceNames?: readonly string[]
}

const rule = (group: string, resources: readonly string[], verbs: readonly string[]): Rule => ({
  apiGroups: [group],
  resources,
  verbs,
})

const status = (plurals: readonly string[]) => plurals.map((plural) => `${plural}/status`)

/** What a node's agent may do; admission.ts narrows nodes and pods to its own. */
const agentRules: readonly Rule[] = [
  rule('', ['nodes'], [...READ, 'patch']),
  // Whether one may use a store.
  rule('', ['namespaces'], ['get']),
  rule('', ['pods'], [...READ, 'delete']),
  rule(OURS, ['checkpointstores', 'restores', 'migrations'], READ),
  // `patch`: the finalizer of what it stores.
  rule(OURS, ['checkpoints'], [...READ, 'patch']),
  // restores: images that it made of a checkpoint. migrations: whether it can take a pod.
  rule(OURS, status(['checkpoints', 'restores', 'migrations']), ['get', 'patch']),
]

const controllerRules: readonly Rule[] = [
  rule('', ['nodes', 'persistentvolumes', 'namespaces'], READ),
  rule('', ['pods'], [...READ, 'create', 'delete', 'patch']),
  rule('', ['persistentvolumeclaims'], [...READ, 'create', 'delete']),
  // Whether one is full of a pod that is to be moved.
  rule('', ['resourcequotas'], ['list']),
  // Whether one would adopt a pod that is restored, and delete it.
  rule('', ['replicationcontrollers'], ['list']),
  rule('apps', ['replicasets', 'statefulsets', 'daemonsets'], ['list']),
  // Of Runtimes with ports.
  rule('', ['services'], ['get', 'create']),
  rule('', ['events'], ['create', 'patch']),
  // Serving certificates of kubelets, and no others.
  rule(CERTIFICATES, ['certificatesigningrequests'], READ),
  rule(CERTIFICATES, ['certificatesigningrequests/approval'], ['patch']),
  {...rule(CERTIFICATES, ['signers'], ['approve']), resourceNames: ['kubernetes.io/kubelet-serving']},
  rule(
    OURS,
    ['checkpointstores', 'checkpointpolicies', 'runtimes', 'containerhosts'],
    [...READ, 'patch', 'update', 'delete'],
  ),
  rule(OURS, ['checkpoints', 'restores', 'migrations'], [...READ, 'create', 'patch', 'update', 'delete']),
  rule(OURS, status(Object.values(RESOURCES).map(({plural}) => plural)), ['get', 'patch', 'update']),
]

const agentSecrets: readonly Rule[] = [rule('', ['secrets'], ['get', 'create'])]

const controllerLocal: readonly Rule[] = [
  rule('', ['secrets'], ['get', 'create']),
  rule('coordination.k8s.io', ['leases'], ['get', 'create', 'update', 'patch']),
]

/** What belongs to one namespace, and so to its users. */
const userPlurals = Object.values(RESOURCES)
  .filter(({namespaced}) => namespaced)
  .map(({plural}) => plural)

const metadata = (name: string) => ({name, labels: addonLabels})
const local = (name: string) => ({...metadata(name), namespace: SYSTEM_NAMESPACE})

function boundTo(
  account: string,
  rules: readonly Rule[],
  localRules: readonly Rule[],
): readonly KubeObject[] {
  const subjects = [{kind: 'ServiceAccount', name: account, namespace: SYSTEM_NAMESPACE}]
  const apiVersion = `${RBAC}/v1`
  return [
    {apiVersion: 'v1', kind: 'ServiceAccount', metadata: local(account), automountServiceAccountToken: false},
    {apiVersion, kind: 'ClusterRole', metadata: metadata(account), rules},
    {
      apiVersion,
      kind: 'ClusterRoleBinding',
      metadata: metadata(account),
      roleRef: {apiGroup: RBAC, kind: 'ClusterRole', name: account},
      subjects,
    },
    {apiVersion, kind: 'Role', metadata: local(account), rules: localRules},
    {
      apiVersion,
      kind: 'RoleBinding',
      metadata: local(account),
      roleRef: {apiGroup: RBAC, kind: 'Role', name: account},
      subjects,
    },
  ]
}

function forUsers(name: string, verbs: readonly string[], into: readonly string[]): KubeObject {
  const aggregated = Object.fromEntries(into.map((role) => [`${RBAC}/aggregate-to-${role}`, 'true']))
  return {
    apiVersion: `${RBAC}/v1`,
    kind: 'ClusterRole',
    metadata: {name, labels: {...addonLabels, ...aggregated}},
    rules: [rule(OURS, userPlurals, verbs)],
  }
}

/**
 * Accounts and rights of both programs, and roles of users: who may edit a namespace may checkpoint and restore there,
 * who may view it sees what there is. Nobody but the programs writes a status.
 */
export function checkpointAccess(): readonly KubeObject[] {
  return [
    ...boundTo(AGENT, agentRules, agentSecrets),
    ...boundTo(CONTROLLER, controllerRules, controllerLocal),
    forUsers('clouder-checkpoint-user', [...READ, ...WRITE], ['edit', 'admin']),
    forUsers('clouder-checkpoint-viewer', READ, ['view']),
  ]
}
