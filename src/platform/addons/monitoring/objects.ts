import {createHash} from 'node:crypto'
import type {KubeObject} from '../../../kubernetes/types.ts'
import {clusterRole, labelsOf, metadataOf, namespaceOf, serviceAccount} from '../pods.ts'
import {httpProbe, serviceOf, statefulSetOf, type Claim, type Image, type Program} from '../workloads.ts'
import {dashboards} from './dashboards.ts'
import {
  ADDON,
  ALERTMANAGER,
  ALERTMANAGER_PORT,
  NAMESPACE,
  NODE_EXPORTER,
  PROMETHEUS,
  PROMETHEUS_PORT,
} from './names.ts'
import {nodeExporter} from './node-exporter.ts'
import {alertmanagerConfig, secretVolumes, type Receiver} from './receivers.ts'
import {alertRules} from './rules.ts'
import {prometheusConfig} from './scrape.ts'

export interface MonitoringOptions {
  readonly images: Readonly<Record<'prometheus' | 'alertmanager' | 'nodeExporter', Image>>
  readonly intervalSeconds: number
  readonly retentionDays: number
  readonly persistent: boolean
  readonly size: string
  readonly storageClassName?: string | undefined
  readonly receivers: readonly Receiver[]
}

export function monitoringObjects(options: MonitoringOptions): readonly KubeObject[] {
  const config = {
    'prometheus.yml': JSON.stringify(prometheusConfig(options.intervalSeconds), null, 2),
    'rules.json': JSON.stringify(alertRules(), null, 2),
  }
  const alertConfig = {'alertmanager.yml': JSON.stringify(alertmanagerConfig(options.receivers), null, 2)}
  return [
    namespaceOf(ADDON, NAMESPACE, 'restricted'),
    ...[PROMETHEUS, ALERTMANAGER, NODE_EXPORTER].map(serviceAccount),
    ...clusterRole(PROMETHEUS, [
      {
        apiGroups: [''],
        resources: ['nodes', 'services', 'endpoints', 'pods'],
        verbs: ['get', 'list', 'watch'],
      },
      {apiGroups: [''], resources: ['nodes/metrics'], verbs: ['get']},
      {nonResourceURLs: ['/metrics'], verbs: ['get']},
    ]),
    configMap(PROMETHEUS, config),
    configMap(ALERTMANAGER, alertConfig),
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name: 'dashboards',
        namespace: NAMESPACE,
        // The label by which the chart of Grafana finds dashboards.
        labels: {...labelsOf({addon: ADDON, name: 'dashboards'}), grafana_dashboard: '1'},
      },
      data: Object.fromEntries(
        Object.entries(dashboards).map(([name, each]) => [name, JSON.stringify(each)]),
      ),
    },
    ...statefulSetOf(prometheus(options, config), {
      replicas: 1,
      claims: claimsOf(options, '/prometheus', options.size),
      ports: {web: PROMETHEUS_PORT},
    }),
    ...statefulSetOf(alertmanager(options, alertConfig), {
      replicas: 1,
      claims: claimsOf(options, '/alertmanager', '1Gi'),
      ports: {web: ALERTMANAGER_PORT},
    }),
    serviceOf(PROMETHEUS, {web: PROMETHEUS_PORT}),
    serviceOf(ALERTMANAGER, {web: ALERTMANAGER_PORT}),
    nodeExporter(options.images.nodeExporter),
  ]
}

const configMap = (part: typeof PROMETHEUS, data: Readonly<Record<string, string>>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: metadataOf(part),
  data,
})

const claimsOf = (
  {persistent, storageClassName}: MonitoringOptions,
  mountPath: string,
  size: string,
): readonly Claim[] => (persistent ? [{name: 'data', mountPath, size, storageClassName}] : [])

/** Where nothing gives volumes, data ends with its pod. */
const scratch = ({persistent}: MonitoringOptions, mountPath: string) =>
  persistent ? [] : [{volume: {name: 'data', emptyDir: {}}, mount: {name: 'data', mountPath}}]

const configuration = (part: typeof PROMETHEUS, mountPath: string) => ({
  volume: {name: 'configuration', configMap: {name: part.name}},
  mount: {name: 'configuration', mountPath, readOnly: true},
})

/** A changed configuration is a changed pod. */
const configured = (data: Readonly<Record<string, string>>) => ({
  'clouder.dev/configuration': createHash('sha256').update(JSON.stringify(data)).digest('hex').slice(0, 16),
})

const probes = {
  readinessProbe: httpProbe('web', '/-/ready', {periodSeconds: 3}),
  livenessProbe: httpProbe('web', '/-/healthy', {periodSeconds: 10, failureThreshold: 6}),
}

const prometheus = (options: MonitoringOptions, config: Readonly<Record<string, string>>): Program => ({
  part: PROMETHEUS,
  image: options.images.prometheus,
  token: true,
  args: [
    '--config.file=/etc/prometheus/prometheus.yml',
    '--storage.tsdb.path=/prometheus',
    `--storage.tsdb.retention.time=${options.retentionDays}d`,
    // The volume has no room for more, whatever the time says.
    ...(options.persistent ? [`--storage.tsdb.retention.size=${usable(options.size)}`] : []),
    `--web.listen-address=:${PROMETHEUS_PORT}`,
  ],
  ports: {web: PROMETHEUS_PORT},
  ...probes,
  requests: {cpu: '100m', memory: '256Mi'},
  volumes: [configuration(PROMETHEUS, '/etc/prometheus'), ...scratch(options, '/prometheus')],
  annotations: configured(config),
  // It reads its log of unwritten samples at the start, and writes it at the end.
  graceSeconds: 120,
})

/** 80 % of a size, in MB. */
function usable(size: string): string {
  const [, number = '0', unit = ''] = /^(\d+)(Mi|Gi|Ti)$/.exec(size) ?? []
  const mebibytes = Number(number) * ({Mi: 1, Gi: 1024, Ti: 1024 ** 2}[unit] ?? 0)
  return `${Math.floor(mebibytes * 0.8)}MB`
}

const alertmanager = (options: MonitoringOptions, config: Readonly<Record<string, string>>): Program => ({
  part: ALERTMANAGER,
  image: options.images.alertmanager,
  args: [
    '--config.file=/etc/alertmanager/alertmanager.yml',
    '--storage.path=/alertmanager',
    `--web.listen-address=:${ALERTMANAGER_PORT}`,
    // One alone: it looks for no others.
    '--cluster.listen-address=',
  ],
  ports: {web: ALERTMANAGER_PORT},
  ...probes,
  requests: {cpu: '10m', memory: '32Mi'},
  volumes: [
    configuration(ALERTMANAGER, '/etc/alertmanager'),
    ...secretVolumes(options.receivers),
    ...scratch(options, '/alertmanager'),
  ],
  annotations: configured(config),
})
