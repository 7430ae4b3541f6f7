import type {Registry} from 'prom-client'
import type {KubeClient} from '../kubernetes/types.ts'
import type {Health} from './health.ts'
import {electLeader} from './leader-election.ts'
import type {Log} from './log.ts'
import {leaderMetrics, reconcileMetrics, watchMetrics} from './metrics.ts'
import {ReconcileLoop, type Reconciliation} from './reconcile-loop.ts'
import type {ReconcileContext} from './reconciler.ts'

const LEASE = {leaseMs: 15_000, renewMs: 10_000, retryMs: 2000} as const

/** One of several processes of a program acts at a time. */
export interface Election {
  /** Where its Lease is, which has the name of the program. */
  readonly namespace: string
  /** Who we are, for the other replicas: name of the pod. */
  readonly identity: string
  /** Default: 15 s, 10 s, 2 s. */
  readonly lease?: {readonly leaseMs: number; readonly renewMs: number; readonly retryMs: number} | undefined
}

export interface ManagerOptions<Kind extends string, Context extends ReconcileContext<Kind>> extends Omit<
  Reconciliation<Kind, Context>,
  'onReconciled'
> {
  readonly kube: KubeClient
  /** Name of the program: of its Lease, and of who reports its events. */
  readonly component: string
  /** Default: each process acts, as one per node does. */
  readonly election?: Election
  readonly registry: Registry
  /** Begins the names of its metrics: `clouder_controller`. */
  readonly metricsPrefix: string
  readonly now: () => number
  readonly log: Log
  readonly signal: AbortSignal
}

/** Reconcilers at work. */
export interface Manager extends Health {
  /** Resolves when nothing is under way. */
  idle(): Promise<void>
  /** Resolves when the signal was aborted and the Lease is given back; rejects when it cannot go on. */
  readonly ended: Promise<void>
}

/**
 * Runs reconcilers until the signal is aborted; with an election, for as long as this process is the leader. One that
 * waits for the lead is as ready as the one that has it.
 */
export function startManager<Kind extends string, Context extends ReconcileContext<Kind>>(
  options: ManagerOptions<Kind, Context>,
): Manager {
  const {kube, component, election, registry, metricsPrefix, now, log, signal} = options
  const onReconciled = reconcileMetrics(registry, metricsPrefix)
  let loop: ReconcileLoop<Kind, Context> | undefined
  watchMetrics(registry, metricsPrefix, () => loop?.health() ?? new Map<Kind, never>())
  const lead = (leading: AbortSignal): Promise<void> => {
    loop = new ReconcileLoop({...options, onReconciled}, {kube, component, log, now, signal: leading})
    return loop.run()
  }
  const elected = ({namespace, identity, lease = LEASE}: Election): Promise<void> => {
    const onLead = leaderMetrics(registry, metricsPrefix)
    const onChange = (isLeader: boolean): void => {
      onLead(isLeader)
      if (!isLeader) loop = undefined
    }
    return electLeader({kube, namespace, name: component, identity, ...lease, lead, onChange, log, signal})
  }
  const ended = election === undefined ? lead(signal) : elected(election)
  // Whoever waits for it hears of it; it may come before that.
  ended.catch(() => undefined)
  return {
    ended,
    idle: async () => loop?.idle(),
    problem: () => loop?.problem(),
    unready: () => loop?.unready(),
  }
}
