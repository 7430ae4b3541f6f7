interface Alert {
  readonly alert: string
  readonly expr: string
  /** How long it has to hold. */
  readonly for: string
  readonly severity: 'critical' | 'warning'
  readonly summary: string
  /** What to run next. */
  readonly action: string
}

const FILE_SYSTEMS =
  'fstype!~"tmpfs|overlay|squashfs|ramfs|iso9660",mountpoint!~"/(run|var/lib/kubelet/pods)/.*"'
const doctor = 'clouder kubeadm doctor'

const nodes: readonly Alert[] = [
  {
    alert: 'NodeDown',
    expr: 'up{job="node-exporter"} == 0 and on (node) up{job="kubelet"} == 0',
    for: '1m',
    severity: 'critical',
    summary: 'node {{ $labels.node }} does not answer',
    action: doctor,
  },
  {
    alert: 'KubeletUnreachable',
    expr: 'up{job="kubelet"} == 0 unless on (node) up{job="node-exporter"} == 0',
    for: '2m',
    severity: 'critical',
    summary: 'the kubelet of node {{ $labels.node }} does not answer, although its node does',
    action: doctor,
  },
  {
    alert: 'NodeMetricsMissing',
    expr: 'up{job="node-exporter"} == 0 unless on (node) up{job="kubelet"} == 0',
    for: '5m',
    severity: 'warning',
    summary: 'there are no metrics of node {{ $labels.node }}, although its kubelet answers',
    action: 'kubectl --namespace kube-system get pods -l app.kubernetes.io/name=node-exporter -o wide',
  },
  {
    alert: 'DiskAlmostFull',
    expr: `node_filesystem_avail_bytes{${FILE_SYSTEMS}} / node_filesystem_size_bytes{${FILE_SYSTEMS}} < 0.1`,
    for: '5m',
    severity: 'critical',
    summary: '{{ $labels.mountpoint }} of node {{ $labels.node }} has {{ $value | humanizePercentage }} left',
    action: 'kubectl describe node {{ $labels.node }}',
  },
  {
    alert: 'DiskFilling',
    expr: `predict_linear(node_filesystem_avail_bytes{${FILE_SYSTEMS}}[3h], 24 * 3600) < 0 and node_filesystem_avail_bytes{${FILE_SYSTEMS}} / node_filesystem_size_bytes{${FILE_SYSTEMS}} < 0.4`,
    for: '30m',
    severity: 'warning',
    summary: '{{ $labels.mountpoint }} of node {{ $labels.node }} is full within a day at the current rate',
    action: 'kubectl describe node {{ $labels.node }}',
  },
  {
    alert: 'MemoryAlmostExhausted',
    expr: 'node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < 0.05',
    for: '5m',
    severity: 'critical',
    summary: 'node {{ $labels.node }} has {{ $value | humanizePercentage }} of its memory left',
    action: 'kubectl top pods --all-namespaces --sort-by memory',
  },
  {
    alert: 'ClockSkewed',
    expr: 'abs(node_timex_offset_seconds) > 0.5',
    for: '10m',
    severity: 'warning',
    summary: 'the clock of node {{ $labels.node }} is off by {{ $value | humanizeDuration }}',
    action: 'timedatectl status, on the node',
  },
]

const workloads: readonly Alert[] = [
  {
    alert: 'ContainerRestarting',
    // Each start of a container is a series of its own.
    expr: 'count by (namespace, pod, container) (count_over_time(container_start_time_seconds{container!="",container!="POD"}[15m])) > 3',
    for: '1m',
    severity: 'warning',
    summary:
      'container {{ $labels.container }} of pod {{ $labels.namespace }}/{{ $labels.pod }} started {{ $value }} times in 15 minutes',
    action: 'kubectl --namespace {{ $labels.namespace }} logs {{ $labels.pod }} --previous',
  },
  {
    alert: 'VolumeAlmostFull',
    expr: 'kubelet_volume_stats_available_bytes / kubelet_volume_stats_capacity_bytes < 0.1',
    for: '5m',
    severity: 'warning',
    summary:
      'the volume of claim {{ $labels.namespace }}/{{ $labels.persistentvolumeclaim }} has {{ $value | humanizePercentage }} left',
    action: 'kubectl --namespace {{ $labels.namespace }} describe pvc {{ $labels.persistentvolumeclaim }}',
  },
  {
    alert: 'TargetDown',
    expr: 'up{job=~"pods|services"} == 0',
    for: '10m',
    severity: 'warning',
    summary: 'there are no metrics of pod {{ $labels.namespace }}/{{ $labels.pod }}, which announces some',
    action: 'kubectl --namespace {{ $labels.namespace }} describe pod {{ $labels.pod }}',
  },
]

const controlPlane: readonly Alert[] = [
  {
    alert: 'ApiServerDown',
    expr: 'up{job="apiserver"} == 0',
    for: '1m',
    severity: 'critical',
    summary: 'API server {{ $labels.instance }} does not answer',
    action: doctor,
  },
  {
    alert: 'ApiServerErrors',
    expr: 'sum(rate(apiserver_request_total{code=~"5.."}[5m])) / sum(rate(apiserver_request_total[5m])) > 0.03',
    for: '10m',
    severity: 'critical',
    summary: '{{ $value | humanizePercentage }} of the requests to the API server fail',
    action: 'kubectl get --raw /readyz?verbose',
  },
  {
    alert: 'EtcdSlow',
    expr: 'histogram_quantile(0.99, sum by (le) (rate(etcd_request_duration_seconds_bucket{operation=~"create|update|delete"}[5m]))) > 1',
    for: '10m',
    severity: 'warning',
    summary: 'one of a hundred writes to etcd takes {{ $value | humanizeDuration }}',
    action: 'kubectl get --raw /metrics | grep etcd_request_duration_seconds',
  },
  {
    alert: 'CertificateNotRenewed',
    expr: 'certmanager_certificate_expiration_timestamp_seconds - time() < 7 * 24 * 3600',
    for: '1h',
    severity: 'critical',
    summary:
      'certificate {{ $labels.exported_namespace }}/{{ $labels.name }} expires in {{ $value | humanizeDuration }}',
    action: 'kubectl describe certificate {{ $labels.name }}',
  },
]

const checkpoints: readonly Alert[] = [
  {
    alert: 'CheckpointsFail',
    expr: 'sum by (result) (increase(clouder_checkpoints_total{result!="Ready"}[30m])) > 0',
    for: '0m',
    severity: 'warning',
    summary: 'checkpoints fail: {{ $labels.result }}',
    action: 'kubectl get checkpoints --all-namespaces',
  },
  {
    alert: 'RestoresFail',
    expr: 'sum by (result) (increase(clouder_restores_total{result!="Restored"}[30m])) > 0',
    for: '0m',
    severity: 'warning',
    summary: 'restores fail: {{ $labels.result }}',
    action: 'kubectl get restores --all-namespaces',
  },
  {
    alert: 'MigrationsFail',
    expr: 'sum by (result) (increase(clouder_migrations_total{result!="Succeeded"}[30m])) > 0',
    for: '0m',
    severity: 'warning',
    summary: 'migrations fail: {{ $labels.result }}',
    action: 'kubectl get migrations --all-namespaces',
  },
]

const group = (name: string, alerts: readonly Alert[]) => ({
  name,
  rules: alerts.map(({alert, expr, for: held, severity, summary, action}) => ({
    alert,
    expr,
    for: held,
    labels: {severity},
    annotations: {summary, action},
  })),
})

/** rules.json, which Prometheus reads as YAML. */
export const alertRules = (): object => ({
  groups: [
    group('nodes', nodes),
    group('workloads', workloads),
    group('control-plane', controlPlane),
    group('checkpoints', checkpoints),
  ],
})
