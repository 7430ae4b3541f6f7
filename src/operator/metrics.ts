import {Counter, Gauge, type Registry} from 'prom-client'

/** What every program counts that reconciles. */
export interface ReconcileMetrics {
  leads(isLeader: boolean): void
  reconciled(reconciler: string, result: 'done' | 'failed'): void
}

/** Counts in a registry of prom-client, by names that begin with `prefix`, such as `clouder_controller`. */
export function reconcileMetrics(registry: Registry, prefix: string): ReconcileMetrics {
  const registers = [registry]
  const leader = new Gauge({
    name: `${prefix}_leader`,
    help: 'Whether this process is the one that acts',
    registers,
  })
  const reconciles = new Counter({
    name: `${prefix}_reconciles_total`,
    help: 'Looks at an object, by reconciler and result',
    labelNames: ['reconciler', 'result'],
    registers,
  })
  return {
    leads: (isLeader) => leader.set(isLeader ? 1 : 0),
    reconciled: (reconciler, result) => reconciles.inc({reconciler, result}),
  }
}
