import type {KubeObject} from '../../../kubernetes/types.ts'
import {clusterMetadataOf, metadataOf, type Part} from '../pods.ts'

const GROUP = 'elbv2.k8s.aws'

interface Hook {
  readonly name: string
  readonly path: string
  readonly group: string
  readonly version: string
  readonly resource: string
  readonly operations: readonly ('CREATE' | 'UPDATE')[]
  readonly condition?: string
}

/** Makes the controller the one that answers for Services of type LoadBalancer; no other Service depends on it. */
const MUTATING: readonly Hook[] = [
  {
    name: 'mservice.elbv2.k8s.aws',
    path: '/mutate-v1-service',
    group: '',
    version: 'v1',
    resource: 'services',
    operations: ['CREATE'],
    condition: "object.spec.type == 'LoadBalancer'",
  },
  {
    name: 'mtargetgroupbinding.elbv2.k8s.aws',
    path: '/mutate-elbv2-k8s-aws-v1beta1-targetgroupbinding',
    group: GROUP,
    version: 'v1beta1',
    resource: 'targetgroupbindings',
    operations: ['CREATE', 'UPDATE'],
  },
]

const VALIDATING: readonly Hook[] = [
  {
    name: 'vingressclassparams.elbv2.k8s.aws',
    path: '/validate-elbv2-k8s-aws-v1beta1-ingressclassparams',
    group: GROUP,
    version: 'v1beta1',
    resource: 'ingressclassparams',
    operations: ['CREATE', 'UPDATE'],
  },
  {
    name: 'vtargetgroupbinding.elbv2.k8s.aws',
    path: '/validate-elbv2-k8s-aws-v1beta1-targetgroupbinding',
    group: GROUP,
    version: 'v1beta1',
    resource: 'targetgroupbindings',
    operations: ['CREATE', 'UPDATE'],
  },
  {
    name: 'vingress.elbv2.k8s.aws',
    path: '/validate-networking-v1-ingress',
    group: 'networking.k8s.io',
    version: 'v1',
    resource: 'ingresses',
    operations: ['CREATE', 'UPDATE'],
    // Ingresses of other classes are no business of this controller, and must not wait for it.
    condition: "has(object.spec.ingressClassName) && object.spec.ingressClassName == 'alb'",
  },
]

const hook = (part: Part, {name, path, group, version, resource, operations, condition}: Hook) => ({
  name,
  // The certificate authority is filled in by cert-manager.
  clientConfig: {service: {name: part.name, namespace: part.namespace, path, port: 443}},
  admissionReviewVersions: ['v1'],
  failurePolicy: 'Fail',
  matchPolicy: 'Equivalent',
  sideEffects: 'None',
  timeoutSeconds: 10,
  rules: [{apiGroups: [group], apiVersions: [version], operations, resources: [resource], scope: '*'}],
  ...(condition === undefined ? {} : {matchConditions: [{name: 'its-own', expression: condition}]}),
})

export const SERVING_SECRET = 'aws-load-balancer-controller-serving'

/**
 * What the API server asks of the controller, and the certificate that it answers with: signed by an issuer of its own,
 * renewed by cert-manager. Every control plane asks the controller on itself, because between them the firewall of the
 * cloud opens no port for it.
 */
export function webhooks(part: Part, port: number): readonly KubeObject[] {
  const injected = {
    ...clusterMetadataOf(part),
    annotations: {'cert-manager.io/inject-ca-from': `${part.namespace}/${part.name}`},
  }
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: metadataOf(part),
      spec: {
        selector: {'app.kubernetes.io/name': part.name},
        internalTrafficPolicy: 'Local',
        ports: [{name: 'webhook', port: 443, targetPort: port, protocol: 'TCP'}],
      },
    },
    {
      apiVersion: 'cert-manager.io/v1',
      kind: 'Issuer',
      metadata: metadataOf(part),
      spec: {selfSigned: {}},
    },
    {
      apiVersion: 'cert-manager.io/v1',
      kind: 'Certificate',
      metadata: metadataOf(part),
      spec: {
        secretName: SERVING_SECRET,
        dnsNames: [`${part.name}.${part.namespace}.svc`],
        issuerRef: {kind: 'Issuer', name: part.name},
        privateKey: {algorithm: 'ECDSA', size: 256, rotationPolicy: 'Always'},
        usages: ['server auth'],
      },
    },
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: injected,
      webhooks: MUTATING.map((each) => hook(part, each)),
    },
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingWebhookConfiguration',
      metadata: injected,
      webhooks: VALIDATING.map((each) => hook(part, each)),
    },
  ]
}
