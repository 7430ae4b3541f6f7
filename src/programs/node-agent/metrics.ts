import {Counter, Histogram, type Registry} from 'prom-client'

/** What an agent counts; names begin with `clouder_node_`. */
export interface Metrics {
  readonly checkpointed: (result: 'ready' | 'failed') => void
  readonly dumped: (seconds: number, bytes: number) => void
  readonly answered: (action: 'restore' | 'create' | 'refuse') => void
}

/** Counts in a registry of prom-client. */
export function agentMetrics(registry: Registry): Metrics {
  const registers = [registry]
  const checkpoints = new Counter({
    name: 'clouder_node_checkpoints_total',
    help: 'Checkpoints created on this node, by result',
    labelNames: ['result'] as const,
    registers,
  })
  const seconds = new Histogram({
    name: 'clouder_node_dump_seconds',
    help: 'Time from the start of a checkpoint until its containers are dumped',
    buckets: [0.25, 0.5, 1, 2, 5, 10, 30, 60, 300],
    registers,
  })
  const bytes = new Histogram({
    name: 'clouder_node_archive_bytes',
    help: 'Size of the archives of a checkpoint',
    buckets: [1e6, 1e7, 1e8, 1e9, 1e10],
    registers,
  })
  const answers = new Counter({
    name: 'clouder_node_restore_answers_total',
    help: 'Responses to the restore handler, by action',
    labelNames: ['action'] as const,
    registers,
  })
  return {
    checkpointed: (result) => checkpoints.inc({result}),
    dumped: (took, size) => {
      seconds.observe(took)
      bytes.observe(size)
    },
    answered: (action) => answers.inc({action}),
  }
}
