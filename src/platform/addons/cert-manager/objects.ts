import type {KubeObject} from '../../../kubernetes/types.ts'
import {labelsOf, namespaceOf, serviceAccount} from '../pods.ts'
import {deploymentOf, httpProbe, serviceOf, type Image, type Program} from '../workloads.ts'
import {certManagerAccess} from './access.ts'
import {issuerObjects, type IssuerOptions} from './issuers.ts'
import {ADDON, CAINJECTOR, CONTROLLER, NAMESPACE, WEBHOOK} from './names.ts'

const METRICS = 9402

export interface CertManagerOptions extends IssuerOptions {
  readonly images: Readonly<Record<'controller' | 'webhook' | 'cainjector' | 'acmesolver', Image>>
  readonly definitions: readonly KubeObject[]
  /** Whether certificates of Gateways are issued too; the kinds of the Gateway API must be there then. */
  readonly gatewayApi: boolean
  readonly webhookReplicas: number
}

export const certManagerObjects = (options: CertManagerOptions): readonly KubeObject[] => [
  namespaceOf(ADDON, NAMESPACE, 'restricted'),
  ...options.definitions.map((definition) => labelled(definition)),
  ...[CONTROLLER, WEBHOOK, CAINJECTOR].map(serviceAccount),
  ...certManagerAccess(),
  ...deploymentOf(controller(options)),
  ...deploymentOf(cainjector(options)),
  ...deploymentOf(webhook(options), options.webhookReplicas),
  serviceOf(CONTROLLER, {metrics: METRICS}),
  serviceOf(WEBHOOK, {https: 443}),
  admission('MutatingWebhookConfiguration', '/mutate', {
    apiGroups: ['cert-manager.io'],
    apiVersions: ['v1'],
    operations: ['CREATE'],
    resources: ['certificaterequests'],
  }),
  admission('ValidatingWebhookConfiguration', '/validate', {
    apiGroups: ['cert-manager.io', 'acme.cert-manager.io'],
    apiVersions: ['v1'],
    operations: ['CREATE', 'UPDATE'],
    resources: ['*/*'],
  }),
  ...issuerObjects(options),
]

const labelled = (object: KubeObject): KubeObject => ({
  ...object,
  metadata: {...object.metadata, labels: {...object.metadata.labels, 'clouder.dev/addon': ADDON}},
})

const namespaceVariable = {name: 'POD_NAMESPACE', valueFrom: {fieldRef: {fieldPath: 'metadata.namespace'}}}
const scraped = {'prometheus.io/scrape': 'true', 'prometheus.io/port': String(METRICS)}

const controller = ({images, gatewayApi}: CertManagerOptions): Program => ({
  part: CONTROLLER,
  image: images.controller,
  token: true,
  args: [
    '--cluster-resource-namespace=$(POD_NAMESPACE)',
    '--leader-election-namespace=$(POD_NAMESPACE)',
    `--acme-http01-solver-image=${images.acmesolver.reference}`,
    ...(gatewayApi ? ['--enable-gateway-api'] : []),
  ],
  env: [namespaceVariable],
  ports: {metrics: METRICS, health: 9403},
  readinessProbe: httpProbe('health', '/livez', {periodSeconds: 3}),
  livenessProbe: httpProbe('health', '/livez', {periodSeconds: 10, failureThreshold: 8}),
  requests: {cpu: '20m', memory: '64Mi'},
  annotations: scraped,
})

const cainjector = ({images}: CertManagerOptions): Program => ({
  part: CAINJECTOR,
  image: images.cainjector,
  token: true,
  args: ['--leader-election-namespace=$(POD_NAMESPACE)'],
  env: [namespaceVariable],
  ports: {metrics: METRICS},
  readinessProbe: httpProbe('metrics', '/metrics', {periodSeconds: 5}),
  requests: {cpu: '10m', memory: '64Mi'},
  annotations: scraped,
})

const webhook = ({images}: CertManagerOptions): Program => ({
  part: WEBHOOK,
  image: images.webhook,
  token: true,
  args: [
    '--secure-port=10250',
    '--dynamic-serving-ca-secret-namespace=$(POD_NAMESPACE)',
    `--dynamic-serving-ca-secret-name=${WEBHOOK.name}-ca`,
    ...['', `.${NAMESPACE}`, `.${NAMESPACE}.svc`].map(
      (suffix) => `--dynamic-serving-dns-names=${WEBHOOK.name}${suffix}`,
    ),
  ],
  env: [namespaceVariable],
  ports: {https: 10_250, health: 6080, metrics: METRICS},
  readinessProbe: httpProbe('health', '/healthz', {periodSeconds: 2}),
  livenessProbe: httpProbe('health', '/livez', {periodSeconds: 10, failureThreshold: 6}),
  requests: {cpu: '10m', memory: '32Mi'},
  annotations: scraped,
})

/** The certificate authority of the webhook is written into it by the cainjector. */
function admission(kind: string, path: string, rule: object): KubeObject {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind,
    metadata: {
      name: WEBHOOK.name,
      labels: labelsOf(WEBHOOK),
      annotations: {'cert-manager.io/inject-ca-from-secret': `${NAMESPACE}/${WEBHOOK.name}-ca`},
    },
    webhooks: [
      {
        name: 'webhook.cert-manager.io',
        rules: [rule],
        admissionReviewVersions: ['v1'],
        matchPolicy: 'Equivalent',
        timeoutSeconds: 30,
        failurePolicy: 'Fail',
        sideEffects: 'None',
        clientConfig: {service: {name: WEBHOOK.name, namespace: NAMESPACE, path}},
      },
    ],
  }
}
