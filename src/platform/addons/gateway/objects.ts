import type {KubeObject} from '../../../kubernetes/types.ts'
import {
  clusterMetadataOf,
  clusterRole,
  labelsOf,
  namespaceOf,
  serviceAccount,
  metadataOf,
  type Rule,
} from '../pods.ts'
import {deploymentOf, httpProbe, serviceOf, type Image, type Program} from '../workloads.ts'

export const ADDON = 'gateway'
export const NAMESPACE = 'gateway'
export const CLASS = 'traefik'
export const GATEWAY = 'clouder'
export const PART = {addon: ADDON, name: 'traefik', namespace: NAMESPACE}
export const GATEWAY_API = 'gateway.networking.k8s.io/v1'
const CERTIFICATE = 'clouder-gateway-tls'
export const NODE_PORTS = {http: 30_080, https: 30_443}
const INTERNAL = 8080

export interface GatewayOptions {
  readonly image: Image
  readonly definitions: readonly KubeObject[]
  readonly service: 'LoadBalancer' | 'NodePort'
  readonly replicas: number
  readonly defaultIngressClass: boolean
  readonly hostname?: string | undefined
  readonly issuer?: string | undefined
  readonly serviceAnnotations: Readonly<Record<string, string>>
}

export const gatewayObjects = (options: GatewayOptions): readonly KubeObject[] => [
  namespaceOf(ADDON, NAMESPACE, 'restricted'),
  ...options.definitions.map((definition) => ({
    ...definition,
    metadata: {...definition.metadata, labels: {...definition.metadata.labels, 'clouder.dev/addon': ADDON}},
  })),
  serviceAccount(PART),
  ...clusterRole(PART, RULES),
  ...deploymentOf(traefik(options), options.replicas, ROLLING),
  service(options),
  serviceOf(
    {...PART, name: 'traefik-metrics'},
    {internal: INTERNAL},
    {
      selector: {'app.kubernetes.io/name': PART.name},
      clusterIP: 'None',
    },
  ),
  ...classes(options),
  gateway(options),
]

/** Never fewer than before: it is the way into the cluster. */
const ROLLING = {type: 'RollingUpdate', rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}

const READ = ['get', 'list', 'watch']
const ROUTES = ['gatewayclasses', 'gateways', 'httproutes', 'grpcroutes', 'tlsroutes', 'backendtlspolicies']

const RULES: readonly Rule[] = [
  // Nodes: of services that it reaches by a port of the node.
  {apiGroups: [''], resources: ['namespaces', 'nodes'], verbs: READ},
  // Secrets of all namespaces: certificates of Ingresses are beside them.
  {apiGroups: [''], resources: ['services', 'secrets', 'configmaps'], verbs: READ},
  {apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch']},
  {apiGroups: ['networking.k8s.io'], resources: ['ingresses', 'ingressclasses'], verbs: READ},
  {apiGroups: ['networking.k8s.io'], resources: ['ingresses/status'], verbs: ['update']},
  {apiGroups: ['gateway.networking.k8s.io'], resources: [...ROUTES, 'referencegrants'], verbs: READ},
  {
    apiGroups: ['gateway.networking.k8s.io'],
    resources: ROUTES.map((route) => `${route}/status`),
    verbs: ['update', 'patch'],
  },
]

function traefik({image}: GatewayOptions): Program {
  const published = `${NAMESPACE}/${PART.name}`
  return {
    part: PART,
    image,
    token: true,
    args: [
      '--global.checknewversion=false',
      '--global.sendanonymoususage=false',
      '--log.level=INFO',
      // A Gateway finds its entry point by the number of the port.
      '--entrypoints.http.address=:80',
      '--entrypoints.https.address=:443',
      '--entrypoints.https.http.tls=true',
      `--entrypoints.traefik.address=:${INTERNAL}`,
      '--ping=true',
      '--metrics.prometheus=true',
      '--providers.kubernetesgateway=true',
      `--providers.kubernetesgateway.statusaddress.service.name=${PART.name}`,
      `--providers.kubernetesgateway.statusaddress.service.namespace=${NAMESPACE}`,
      '--providers.kubernetesingress=true',
      '--providers.kubernetesingress.strictprefixmatching=true',
      `--providers.kubernetesingress.ingressendpoint.publishedservice=${published}`,
    ],
    ports: {http: 80, https: 443, internal: INTERNAL},
    readinessProbe: httpProbe('internal', '/ping', {periodSeconds: 2}),
    livenessProbe: httpProbe('internal', '/ping', {periodSeconds: 10, failureThreshold: 6}),
    requests: {cpu: '50m', memory: '64Mi'},
    annotations: {'prometheus.io/scrape': 'true', 'prometheus.io/port': String(INTERNAL)},
    // Open requests end first.
    graceSeconds: 60,
    sysctls: {'net.ipv4.ip_unprivileged_port_start': '0'},
  }
}

function service({service: type, serviceAnnotations}: GatewayOptions): KubeObject {
  const ports = (['http', 'https'] as const).map((name) => ({
    name,
    port: name === 'http' ? 80 : 443,
    targetPort: name,
    protocol: 'TCP',
    ...(type === 'NodePort' ? {nodePort: NODE_PORTS[name]} : {}),
  }))
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {...metadataOf(PART), annotations: serviceAnnotations},
    spec: {type, selector: {'app.kubernetes.io/name': PART.name}, ports},
  }
}

const classes = ({defaultIngressClass}: GatewayOptions): readonly KubeObject[] => [
  {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'IngressClass',
    metadata: {
      ...clusterMetadataOf(PART),
      annotations: {'ingressclass.kubernetes.io/is-default-class': String(defaultIngressClass)},
    },
    spec: {controller: 'traefik.io/ingress-controller'},
  },
  {
    apiVersion: GATEWAY_API,
    kind: 'GatewayClass',
    metadata: {name: CLASS, labels: labelsOf(PART)},
    spec: {controllerName: 'traefik.io/gateway-controller'},
  },
]

/** Routes of every namespace may use it. */
function gateway({hostname, issuer}: GatewayOptions): KubeObject {
  const allowedRoutes = {namespaces: {from: 'All'}}
  const host = hostname === undefined ? {} : {hostname}
  const https = {
    name: 'https',
    port: 443,
    protocol: 'HTTPS',
    ...host,
    tls: {mode: 'Terminate', certificateRefs: [{name: CERTIFICATE}]},
    allowedRoutes,
  }
  return {
    apiVersion: GATEWAY_API,
    kind: 'Gateway',
    metadata: {
      name: GATEWAY,
      namespace: NAMESPACE,
      labels: labelsOf(PART),
      ...(issuer === undefined ? {} : {annotations: {'cert-manager.io/cluster-issuer': issuer}}),
    },
    spec: {
      gatewayClassName: CLASS,
      listeners: [
        {name: 'http', port: 80, protocol: 'HTTP', allowedRoutes},
        ...(hostname === undefined || issuer === undefined ? [] : [https]),
      ],
    },
  }
}
