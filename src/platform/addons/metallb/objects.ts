import type {KubeObject} from '../../../kubernetes/types.ts'
import {
  clusterRole,
  labelsOf,
  metadataOf,
  namespaceOf,
  podMetadataOf,
  role,
  selectorOf,
  serviceAccount,
  UNPRIVILEGED,
  type Rule,
} from '../pods.ts'
import {deploymentOf, httpProbe, RECREATE, type Image} from '../workloads.ts'

export const ADDON = 'metallb'
export const NAMESPACE = 'metallb-system'
export const POOL = 'default'
const MEMBERS_SECRET = 'metallb-members'
/** Its metrics, which stand for its health. */
const METRICS = 7472

const part = (name: string) => ({addon: ADDON, name, namespace: NAMESPACE})
const CONTROLLER = part('metallb-controller')
export const SPEAKER = part('metallb-speaker')

export interface MetalLbOptions {
  readonly images: {readonly controller: Image; readonly speaker: Image}
  readonly definitions: readonly KubeObject[]
  readonly addresses: readonly string[]
  readonly interfaces: readonly string[]
}

export const metalLbObjects = (options: MetalLbOptions): readonly KubeObject[] => [
  // The speakers are in the network of their nodes.
  namespaceOf(ADDON, NAMESPACE, 'privileged'),
  ...options.definitions.map((definition) => ({
    ...definition,
    metadata: {...definition.metadata, labels: {...definition.metadata.labels, 'clouder.dev/addon': ADDON}},
  })),
  serviceAccount(CONTROLLER),
  serviceAccount(SPEAKER),
  ...access(),
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {...metadataOf(SPEAKER), name: 'metallb-excludel2'},
    data: {'excludel2.yaml': `announcedInterfacesToExclude: ${JSON.stringify(NOT_ANNOUNCED)}\n`},
  },
  ...controller(options),
  speaker(options),
  ...pool(options),
]

/** Interfaces of pods and of tunnels, where no one outside the node asks for an address. */
const NOT_ANNOUNCED = ['lo', 'cni', 'flannel', 'veth', 'docker', 'kube-ipvs', 'dummy', 'tunl'].map(
  (prefix) => `^${prefix}.*`,
)

const READ = ['get', 'list', 'watch']
const WRITE = ['create', 'update', 'patch', 'delete']
const GROUP = 'metallb.io'

/** Both read the configuration in their namespace, and write what became of it. */
const ofNamespace: readonly Rule[] = [
  {apiGroups: [''], resources: ['pods'], verbs: ['get', 'list']},
  {apiGroups: [''], resources: ['secrets', 'configmaps'], verbs: READ},
  {
    apiGroups: [GROUP],
    resources: [
      ...['ipaddresspools', 'l2advertisements', 'communities'],
      ...['bgppeers', 'bgpadvertisements', 'bfdprofiles'],
    ],
    verbs: READ,
  },
  {apiGroups: [GROUP], resources: ['ipaddresspools/status'], verbs: ['update', 'patch']},
  {
    apiGroups: [GROUP],
    resources: ['configurationstates', 'servicel2statuses', 'servicebgpstatuses'],
    verbs: [...READ, ...WRITE],
  },
  {
    apiGroups: [GROUP],
    resources: ['configurationstates/status', 'servicel2statuses/status', 'servicebgpstatuses/status'],
    verbs: ['get', 'update', 'patch'],
  },
]

const events: Rule = {apiGroups: [''], resources: ['events'], verbs: ['create', 'patch']}

const access = (): readonly KubeObject[] => [
  ...clusterRole(CONTROLLER, [
    {apiGroups: [''], resources: ['services', 'namespaces', 'nodes'], verbs: READ},
    {apiGroups: [''], resources: ['services/status'], verbs: ['update']},
    events,
    // Their states are looked up in all namespaces.
    {apiGroups: [GROUP], resources: ['configurationstates'], verbs: READ},
  ]),
  ...clusterRole(SPEAKER, [
    {apiGroups: [''], resources: ['services', 'namespaces', 'nodes'], verbs: READ},
    {apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: READ},
    events,
    {apiGroups: [GROUP], resources: ['configurationstates', 'servicel2statuses'], verbs: READ},
  ]),
  ...role(CONTROLLER, ofNamespace),
  ...role(SPEAKER, ofNamespace),
]

const podName = {name: 'METALLB_POD_NAME', valueFrom: {fieldRef: {fieldPath: 'metadata.name'}}}
const namespace = {name: 'METALLB_NAMESPACE', value: NAMESPACE}

/** Gives addresses to services. It has no leader election: never two at once. */
const controller = ({images}: MetalLbOptions): readonly KubeObject[] =>
  deploymentOf(
    {
      part: CONTROLLER,
      image: images.controller,
      token: true,
      // Addresses are checked by clouder before they are applied: without its webhook, which only repeats that, it
      // needs no right to write Secrets and definitions.
      args: ['--webhook-mode=disabled', `--port=${METRICS}`],
      env: [podName, namespace],
      ports: {metrics: METRICS},
      readinessProbe: httpProbe('metrics', '/metrics', {periodSeconds: 3}),
      livenessProbe: httpProbe('metrics', '/metrics', {periodSeconds: 10, failureThreshold: 6}),
      requests: {cpu: '10m', memory: '48Mi'},
      annotations: {'prometheus.io/scrape': 'true', 'prometheus.io/port': String(METRICS)},
    },
    1,
    RECREATE,
  )

const probe = {httpGet: {path: '/metrics', port: METRICS}, timeoutSeconds: 5}

/** Answers ARP on the nodes: one of them for each address. */
function speaker({images: {speaker: image}}: MetalLbOptions): KubeObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: metadataOf(SPEAKER),
    spec: {
      selector: {matchLabels: selectorOf(SPEAKER)},
      updateStrategy: {type: 'RollingUpdate', rollingUpdate: {maxUnavailable: 1}},
      template: {
        metadata: podMetadataOf(SPEAKER, image),
        spec: {
          serviceAccountName: SPEAKER.name,
          automountServiceAccountToken: true,
          enableServiceLinks: false,
          hostNetwork: true,
          priorityClassName: 'system-node-critical',
          nodeSelector: {'kubernetes.io/os': 'linux'},
          tolerations: [{operator: 'Exists'}],
          terminationGracePeriodSeconds: 2,
          securityContext: {runAsUser: 0, runAsGroup: 0, seccompProfile: {type: 'RuntimeDefault'}},
          containers: [
            {
              name: SPEAKER.name,
              image: image.reference,
              imagePullPolicy: 'IfNotPresent',
              args: [`--port=${METRICS}`],
              env: [
                {name: 'METALLB_NODE_NAME', valueFrom: {fieldRef: {fieldPath: 'spec.nodeName'}}},
                // Where it listens: not on every address of the node.
                {name: 'METALLB_HOST', valueFrom: {fieldRef: {fieldPath: 'status.hostIP'}}},
                {name: 'METALLB_ML_BIND_ADDR', valueFrom: {fieldRef: {fieldPath: 'status.podIP'}}},
                {name: 'METALLB_ML_LABELS', value: `app.kubernetes.io/name=${SPEAKER.name}`},
                {name: 'METALLB_ML_SECRET_KEY_PATH', value: '/etc/metallb-members'},
                podName,
                namespace,
              ],
              readinessProbe: {...probe, periodSeconds: 3},
              livenessProbe: {...probe, periodSeconds: 10, failureThreshold: 6},
              resources: {requests: {cpu: '20m', memory: '48Mi'}},
              // Root with one capability: it answers ARP, which ordinary sockets do not carry.
              securityContext: {...UNPRIVILEGED, capabilities: {drop: ['ALL'], add: ['NET_RAW']}},
              volumeMounts: [
                {name: 'members', mountPath: '/etc/metallb-members', readOnly: true},
                {name: 'excluded', mountPath: '/etc/metallb', readOnly: true},
              ],
            },
          ],
          volumes: [
            {name: 'members', secret: {secretName: MEMBERS_SECRET, defaultMode: 0o400}},
            {name: 'excluded', configMap: {name: 'metallb-excludel2'}},
          ],
        },
      },
    },
  }
}

/** With this key the speakers trust each other when they watch which node is alive. */
export const membersSecret = (key: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: {...metadataOf(SPEAKER), name: MEMBERS_SECRET},
  type: 'Opaque',
  stringData: {secretkey: key},
})

const pool = ({addresses, interfaces}: MetalLbOptions): readonly KubeObject[] => [
  {
    apiVersion: `${GROUP}/v1beta1`,
    kind: 'IPAddressPool',
    metadata: {name: POOL, namespace: NAMESPACE, labels: labelsOf(CONTROLLER)},
    spec: {addresses, autoAssign: true, avoidBuggyIPs: true},
  },
  {
    apiVersion: `${GROUP}/v1beta1`,
    kind: 'L2Advertisement',
    metadata: {name: POOL, namespace: NAMESPACE, labels: labelsOf(CONTROLLER)},
    spec: {ipAddressPools: [POOL], ...(interfaces.length === 0 ? {} : {interfaces})},
  },
]
