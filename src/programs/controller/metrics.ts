import {Counter, Gauge, Histogram, type Registry} from 'prom-client'

const SECONDS = [0.5, 1, 2, 5, 10, 20, 60, 120, 300, 900, 3600]
/** Downtimes of direct moves are told apart below ten seconds. */
const DOWNTIME_SECONDS = [0.25, 0.5, 1, 1.5, 2, 3, 5, 7.5, 10, 20, 60, 120, 300]
const BYTES = [1e6, 1e7, 5e7, 1e8, 2.5e8, 5e8, 1e9, 4e9, 1.6e10, 6.4e10]

/** What the controller counts; names begin with `clouder_`. */
export interface ControllerMetrics {
  checkpointEnded(result: string, durationMs: number | undefined, sizeBytes: number | undefined): void
  migrationEnded(ended: {
    readonly result: string
    readonly way: string
    readonly downtimeMs: number | undefined
    readonly transferredBytes: number | undefined
  }): void
  restoreEnded(result: string): void
  policies(count: number): void
}

/** Counts in a registry of prom-client. */
export function controllerMetrics(registry: Registry): ControllerMetrics {
  const registers = [registry]
  const checkpoints = new Counter({
    name: 'clouder_checkpoints_total',
    help: 'Completed checkpoints, by result: Ready, or the reason of the failure',
    labelNames: ['result'],
    registers,
  })
  const checkpointSeconds = new Histogram({
    name: 'clouder_checkpoint_duration_seconds',
    help: 'Time from the start of a checkpoint until it is verified in its store',
    buckets: SECONDS,
    registers,
  })
  const checkpointBytes = new Histogram({
    name: 'clouder_checkpoint_size_bytes',
    help: 'Size of checkpoints before compression',
    buckets: BYTES,
    registers,
  })
  const migrations = new Counter({
    name: 'clouder_migrations_total',
    help: 'Completed migrations, by result and way: Direct, PreCopy (direct, after rounds of pre-copy), Lazy (direct, with post-copy) or Store',
    labelNames: ['result', 'way'],
    registers,
  })
  const downtime = new Histogram({
    name: 'clouder_migration_downtime_seconds',
    help: 'Downtime of a moved pod, by way: from when it was frozen until it was ready again',
    labelNames: ['way'],
    buckets: DOWNTIME_SECONDS,
    registers,
  })
  const transferred = new Histogram({
    name: 'clouder_migration_transferred_bytes',
    help: 'Size of what a move transferred, by way',
    labelNames: ['way'],
    buckets: BYTES,
    registers,
  })
  const restores = new Counter({
    name: 'clouder_restores_total',
    help: 'Completed restores, by result',
    labelNames: ['result'],
    registers,
  })
  const policies = new Gauge({
    name: 'clouder_checkpoint_policies',
    help: 'Number of CheckpointPolicies',
    registers,
  })
  return {
    checkpointEnded: (result, durationMs, sizeBytes) => {
      checkpoints.inc({result})
      if (durationMs !== undefined) checkpointSeconds.observe(durationMs / 1000)
      if (sizeBytes !== undefined) checkpointBytes.observe(sizeBytes)
    },
    migrationEnded: ({result, way, downtimeMs, transferredBytes}) => {
      migrations.inc({result, way})
      if (downtimeMs !== undefined) downtime.observe({way}, downtimeMs / 1000)
      if (transferredBytes !== undefined) transferred.observe({way}, transferredBytes)
    },
    restoreEnded: (result) => restores.inc({result}),
    policies: (count) => policies.set(count),
  }
}
