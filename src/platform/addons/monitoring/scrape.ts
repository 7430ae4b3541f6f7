import {ALERTMANAGER, ALERTMANAGER_PORT, NAMESPACE, NODE_EXPORTER_PORT} from './names.ts'

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'

/** The API server and kubelets: certificates of the CA of the cluster, and the token of the pod. */
const authenticated = {
  scheme: 'https',
  tls_config: {ca_file: `${ACCOUNT}/ca.crt`},
  authorization: {credentials_file: `${ACCOUNT}/token`},
}
const discovery = (role: string, namespaces?: readonly string[]) => ({
  kubernetes_sd_configs: [{role, ...(namespaces === undefined ? {} : {namespaces: {names: namespaces}})}],
})
const copy = (from: string, to: string) => ({source_labels: [from], target_label: to})
const keep = (from: readonly string[], regex: string) => ({source_labels: from, regex, action: 'keep'})
const node = copy('__meta_kubernetes_node_name', 'node')

/** What a pod or a service says of its metrics in annotations: `prometheus.io/scrape`, `port`, `path` and `scheme`. */
const byAnnotation = (kind: 'pod' | 'service') => {
  const annotation = (name: string): string => `__meta_kubernetes_${kind}_annotation_prometheus_io_${name}`
  return [
    keep([annotation('scrape')], 'true'),
    {source_labels: [annotation('scheme')], regex: '(https?)', target_label: '__scheme__'},
    {source_labels: [annotation('path')], regex: '(.+)', target_label: '__metrics_path__'},
    {
      source_labels: ['__address__', annotation('port')],
      regex: '(.+?)(?::\\d+)?;(\\d+)',
      replacement: '$1:$2',
      target_label: '__address__',
    },
    copy('__meta_kubernetes_namespace', 'namespace'),
    copy('__meta_kubernetes_pod_name', 'pod'),
    copy('__meta_kubernetes_pod_node_name', 'node'),
  ]
}

/** Nothing is read of containers by name of their cgroup alone, which no one asks for. */
const withoutCgroups = [{source_labels: ['container', '__name__'], regex: ';container_.*', action: 'drop'}]

/** prometheus.yml as an object. */
export const prometheusConfig = (intervalSeconds: number): object => ({
  global: {scrape_interval: `${intervalSeconds}s`, evaluation_interval: `${intervalSeconds}s`},
  rule_files: ['/etc/prometheus/rules.json'],
  alerting: {
    alertmanagers: [
      {static_configs: [{targets: [`${ALERTMANAGER.name}.${NAMESPACE}.svc:${ALERTMANAGER_PORT}`]}]},
    ],
  },
  scrape_configs: [
    {
      job_name: 'apiserver',
      ...authenticated,
      ...discovery('endpoints', ['default']),
      relabel_configs: [
        keep(['__meta_kubernetes_service_name', '__meta_kubernetes_endpoint_port_name'], 'kubernetes;https'),
      ],
    },
    {job_name: 'kubelet', ...authenticated, ...discovery('node'), relabel_configs: [node]},
    {
      job_name: 'cadvisor',
      ...authenticated,
      ...discovery('node'),
      metrics_path: '/metrics/cadvisor',
      relabel_configs: [node],
      metric_relabel_configs: withoutCgroups,
    },
    {
      job_name: 'node-exporter',
      ...discovery('node'),
      relabel_configs: [
        node,
        {
          source_labels: ['__meta_kubernetes_node_address_InternalIP'],
          regex: '(.+)',
          replacement: `$1:${NODE_EXPORTER_PORT}`,
          target_label: '__address__',
        },
      ],
    },
    {
      job_name: 'pods',
      ...discovery('pod'),
      relabel_configs: [...byAnnotation('pod'), keep(['__meta_kubernetes_pod_phase'], 'Running')],
    },
    {
      job_name: 'services',
      ...discovery('endpoints'),
      relabel_configs: [...byAnnotation('service'), copy('__meta_kubernetes_service_name', 'service')],
    },
  ],
})
