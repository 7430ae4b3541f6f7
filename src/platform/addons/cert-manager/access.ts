import type {KubeObject} from '../../../kubernetes/types.ts'
import {clusterRole, labelsOf, role, type Rule} from '../pods.ts'
import {CAINJECTOR, CONTROLLER, WEBHOOK} from './names.ts'

const READ = ['get', 'list', 'watch']
const CERTIFICATES = 'cert-manager.io'
const ACME = 'acme.cert-manager.io'
const SIGNERS = ['issuers.cert-manager.io/*', 'clusterissuers.cert-manager.io/*']

const withParts = (resources: readonly string[], ...parts: readonly string[]): readonly string[] =>
  resources.flatMap((resource) => parts.map((part) => `${resource}/${part}`))

const KINDS = ['certificates', 'certificaterequests', 'issuers', 'clusterissuers']
const ACME_KINDS = ['orders', 'challenges']

/** Secrets of every namespace: that is where keys and certificates are kept, whoever wants one. */
const controllerRules: readonly Rule[] = [
  {apiGroups: [CERTIFICATES], resources: KINDS, verbs: [...READ, 'update', 'patch']},
  {
    apiGroups: [CERTIFICATES],
    resources: withParts(KINDS, 'status', 'finalizers'),
    verbs: ['update', 'patch'],
  },
  {
    apiGroups: [CERTIFICATES],
    resources: ['certificates', 'certificaterequests'],
    verbs: ['create', 'delete'],
  },
  {apiGroups: [ACME], resources: ACME_KINDS, verbs: [...READ, 'create', 'update', 'patch', 'delete']},
  {apiGroups: [ACME], resources: withParts(ACME_KINDS, 'status', 'finalizers'), verbs: ['update', 'patch']},
  {apiGroups: [''], resources: ['secrets'], verbs: [...READ, 'create', 'update', 'patch', 'delete']},
  {apiGroups: [''], resources: ['events'], verbs: ['create', 'patch']},
  // Answers to challenges over HTTP.
  {apiGroups: [''], resources: ['pods', 'services'], verbs: [...READ, 'create', 'delete']},
  {
    apiGroups: ['networking.k8s.io'],
    resources: ['ingresses'],
    verbs: [...READ, 'create', 'update', 'delete'],
  },
  {apiGroups: ['networking.k8s.io'], resources: ['ingresses/finalizers'], verbs: ['update']},
  {
    apiGroups: ['gateway.networking.k8s.io'],
    resources: ['httproutes'],
    verbs: [...READ, 'create', 'update', 'delete'],
  },
  {apiGroups: ['gateway.networking.k8s.io'], resources: ['gateways', 'listenersets'], verbs: READ},
  {
    apiGroups: ['gateway.networking.k8s.io'],
    resources: withParts(['gateways', 'httproutes', 'listenersets'], 'finalizers'),
    verbs: ['update'],
  },
  // Approves requests for its own issuers, and signs requests of Kubernetes that name one of them.
  {apiGroups: [CERTIFICATES], resources: ['signers'], resourceNames: SIGNERS, verbs: ['approve']},
  {
    apiGroups: ['certificates.k8s.io'],
    resources: ['certificatesigningrequests'],
    verbs: [...READ, 'update'],
  },
  {
    apiGroups: ['certificates.k8s.io'],
    resources: ['certificatesigningrequests/status'],
    verbs: ['update', 'patch'],
  },
  {apiGroups: ['certificates.k8s.io'], resources: ['signers'], resourceNames: SIGNERS, verbs: ['sign']},
  {apiGroups: ['authorization.k8s.io'], resources: ['subjectaccessreviews'], verbs: ['create']},
]

/** Of a leader election in the namespace of the addon. */
const leases = (name: string): readonly Rule[] => [
  {
    apiGroups: ['coordination.k8s.io'],
    resources: ['leases'],
    resourceNames: [name],
    verbs: ['get', 'update', 'patch'],
  },
  {apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create']},
]

const cainjectorRules: readonly Rule[] = [
  {apiGroups: [CERTIFICATES], resources: ['certificates'], verbs: READ},
  {apiGroups: [''], resources: ['secrets'], verbs: READ},
  {apiGroups: [''], resources: ['events'], verbs: ['get', 'create', 'update', 'patch']},
  {
    apiGroups: ['admissionregistration.k8s.io'],
    resources: ['validatingwebhookconfigurations', 'mutatingwebhookconfigurations'],
    verbs: [...READ, 'update', 'patch'],
  },
  {apiGroups: ['apiregistration.k8s.io'], resources: ['apiservices'], verbs: [...READ, 'update', 'patch']},
  {
    apiGroups: ['apiextensions.k8s.io'],
    resources: ['customresourcedefinitions'],
    verbs: [...READ, 'update', 'patch'],
  },
]

const webhookRules: readonly Rule[] = [
  {
    apiGroups: [''],
    resources: ['secrets'],
    resourceNames: [`${WEBHOOK.name}-ca`],
    verbs: [...READ, 'update'],
  },
  {apiGroups: [''], resources: ['secrets'], verbs: ['create']},
]

/** What users of a namespace may do with its certificates, by the roles that they have anyway. */
function usersRole(name: string, roles: readonly string[], rules: readonly Rule[]): KubeObject {
  const aggregated = roles.map((each) => [`rbac.authorization.k8s.io/aggregate-to-${each}`, 'true'] as const)
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: {
      name: `${CONTROLLER.name}:${name}`,
      labels: {...labelsOf(CONTROLLER), ...Object.fromEntries(aggregated)},
    },
    rules,
  }
}

export const certManagerAccess = (): readonly KubeObject[] => [
  ...clusterRole(CONTROLLER, controllerRules),
  ...role(CONTROLLER, leases('cert-manager-controller')),
  ...clusterRole(CAINJECTOR, cainjectorRules),
  ...role(CAINJECTOR, leases('cert-manager-cainjector-leader-election')),
  ...clusterRole(WEBHOOK, [
    {apiGroups: ['authorization.k8s.io'], resources: ['subjectaccessreviews'], verbs: ['create']},
  ]),
  ...role(WEBHOOK, webhookRules),
  usersRole(
    'view',
    ['view', 'edit', 'admin'],
    [
      {apiGroups: [CERTIFICATES], resources: ['certificates', 'certificaterequests', 'issuers'], verbs: READ},
      {apiGroups: [ACME], resources: ACME_KINDS, verbs: READ},
    ],
  ),
  // Not orders and challenges: who writes them could have credentials of a ClusterIssuer sent elsewhere.
  usersRole(
    'edit',
    ['edit', 'admin'],
    [
      {
        apiGroups: [CERTIFICATES],
        resources: ['certificates', 'certificaterequests', 'issuers'],
        verbs: ['create', 'update', 'patch', 'delete', 'deletecollection'],
      },
    ],
  ),
]
