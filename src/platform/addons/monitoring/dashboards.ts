interface Panel {
  readonly title: string
  readonly unit: 'percentunit' | 'bytes' | 'Bps' | 's' | 'short' | 'reqps'
  /** Query by legend. */
  readonly queries: Readonly<Record<string, string>>
}

const WIDTH = 12
const HEIGHT = 8
const datasource = {type: 'prometheus', uid: '${datasource}'}

/** A dashboard as Grafana imports it: two panels beside each other. */
const dashboard = (uid: string, title: string, panels: readonly Panel[]): object => ({
  uid,
  title,
  tags: ['clouder'],
  schemaVersion: 39,
  refresh: '30s',
  time: {from: 'now-3h', to: 'now'},
  templating: {list: [{name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus'}]},
  panels: panels.map((panel, at) => ({
    id: at + 1,
    type: 'timeseries',
    title: panel.title,
    datasource,
    gridPos: {x: (at % 2) * WIDTH, y: Math.floor(at / 2) * HEIGHT, w: WIDTH, h: HEIGHT},
    fieldConfig: {defaults: {unit: panel.unit, min: 0}, overrides: []},
    targets: Object.entries(panel.queries).map(([legendFormat, expr], query) => ({
      refId: String.fromCharCode(65 + query),
      datasource,
      expr,
      legendFormat,
    })),
  })),
})

const nodes: readonly Panel[] = [
  {
    title: 'CPU',
    unit: 'percentunit',
    queries: {'{{node}}': '1 - avg by (node) (rate(node_cpu_seconds_total{mode="idle"}[5m]))'},
  },
  {
    title: 'Memory',
    unit: 'percentunit',
    queries: {'{{node}}': '1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes'},
  },
  {
    title: 'Disk space used',
    unit: 'percentunit',
    queries: {
      '{{node}} {{mountpoint}}':
        '1 - node_filesystem_avail_bytes{fstype!~"tmpfs|overlay"} / node_filesystem_size_bytes{fstype!~"tmpfs|overlay"}',
    },
  },
  {
    title: 'Network',
    unit: 'Bps',
    queries: {
      '{{node}} in': 'sum by (node) (rate(node_network_receive_bytes_total{device!~"lo|veth.*|cni.*"}[5m]))',
      '{{node}} out':
        'sum by (node) (rate(node_network_transmit_bytes_total{device!~"lo|veth.*|cni.*"}[5m]))',
    },
  },
]

const cluster: readonly Panel[] = [
  {
    title: 'Requests to the API server',
    unit: 'reqps',
    queries: {'{{verb}} {{code}}': 'sum by (verb, code) (rate(apiserver_request_total[5m]))'},
  },
  {
    title: 'Writes to etcd, 99th percentile',
    unit: 's',
    queries: {
      '{{operation}}':
        'histogram_quantile(0.99, sum by (operation, le) (rate(etcd_request_duration_seconds_bucket[5m])))',
    },
  },
  {
    title: 'CPU by namespace',
    unit: 'short',
    queries: {
      '{{namespace}}': 'sum by (namespace) (rate(container_cpu_usage_seconds_total{container!=""}[5m]))',
    },
  },
  {
    title: 'Memory by namespace',
    unit: 'bytes',
    queries: {'{{namespace}}': 'sum by (namespace) (container_memory_working_set_bytes{container!=""})'},
  },
  {title: 'Pods by node', unit: 'short', queries: {'{{node}}': 'kubelet_running_pods'}},
  {
    title: 'Volumes used',
    unit: 'percentunit',
    queries: {
      '{{namespace}}/{{persistentvolumeclaim}}':
        '1 - kubelet_volume_stats_available_bytes / kubelet_volume_stats_capacity_bytes',
    },
  },
]

const checkpoints: readonly Panel[] = [
  {
    title: 'Checkpoints per hour, by result',
    unit: 'short',
    queries: {'{{result}}': 'sum by (result) (increase(clouder_checkpoints_total[1h]))'},
  },
  {
    title: 'Duration of checkpoints',
    unit: 's',
    queries: {
      median: 'histogram_quantile(0.5, sum by (le) (rate(clouder_checkpoint_duration_seconds_bucket[30m])))',
      '95th percentile':
        'histogram_quantile(0.95, sum by (le) (rate(clouder_checkpoint_duration_seconds_bucket[30m])))',
    },
  },
  {
    title: 'Downtime of moves, 95th percentile',
    unit: 's',
    queries: {
      '{{way}}':
        'histogram_quantile(0.95, sum by (way, le) (rate(clouder_migration_downtime_seconds_bucket[30m])))',
    },
  },
  {
    title: 'Moves and restores per hour, by result',
    unit: 'short',
    queries: {
      'move {{result}}': 'sum by (result) (increase(clouder_migrations_total[1h]))',
      'restore {{result}}': 'sum by (result) (increase(clouder_restores_total[1h]))',
    },
  },
]

/** By file name. */
export const dashboards: Readonly<Record<string, object>> = {
  'nodes.json': dashboard('clouder-nodes', 'Nodes', nodes),
  'cluster.json': dashboard('clouder-cluster', 'Cluster', cluster),
  'checkpoints.json': dashboard('clouder-checkpoints', 'Checkpoints', checkpoints),
}
