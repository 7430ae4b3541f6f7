import {Counter, Gauge, type Registry} from 'prom-client'
import type {KindHealth} from './cache.ts'

/** What every program counts that reconciles, by names that begin with `prefix`, such as `clouder_controller`. */
export function reconcileMetrics(
  registry: Registry,
  prefix: string,
): (reconciler: string, result: 'done' | 'failed') => void {
  const reconciles = new Counter({
    name: `${prefix}_reconciles_total`,
    help: 'Reconciles of an object, by reconciler and result',
    labelNames: ['reconciler', 'result'],
    registers: [registry],
  })
  return (reconciler, result) => reconciles.inc({reconciler, result})
}

/** Of a program of which one process acts. */
export function leaderMetrics(registry: Registry, prefix: string): (isLeader: boolean) => void {
  const leader = new Gauge({
    name: `${prefix}_leader`,
    help: 'Whether this process is the leader',
    registers: [registry],
  })
  leader.set(0)
  return (isLeader) => leader.set(isLeader ? 1 : 0)
}

/** Of the kinds that the program follows, as they are when they are asked for; none while it follows none. */
export function watchMetrics(
  registry: Registry,
  prefix: string,
  kinds: () => ReadonlyMap<string, KindHealth>,
): void {
  const gauge = (name: string, help: string, valueOf: (health: KindHealth) => number): void => {
    const collected = new Gauge({
      name: `${prefix}_${name}`,
      help,
      labelNames: ['kind'],
      registers: [registry],
      collect() {
        collected.reset()
        for (const [kind, health] of kinds()) collected.set({kind}, valueOf(health))
      },
    })
  }
  gauge('watch_live', 'Whether the cached objects of a kind are current', ({state}) =>
    Number(state === 'live'),
  )
  gauge('watched_objects', 'Number of cached objects of a kind', ({objects}) => objects)
  gauge(
    'watch_problems',
    'Rejected requests, broken connections and unreadable objects since the watch of a kind started',
    ({problems}) => problems,
  )
}
