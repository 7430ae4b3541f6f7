import type {Registry} from 'prom-client'
import type {KubeClient} from '../kubernetes/types.ts'
import type {Health} from './health.ts'
import {electLeader} from './leader-election.ts'
import {WatchLiveness} from './liveness.ts'
import type {Log} from './log.ts'
import {reconcileMetrics} from './metrics.ts'
import {reconcileAll, type Reconciliation} from './reconcile-all.ts'
import type {ReconcileContext} from './reconciler.ts'

const LEASE = {leaseMs: 15_000, renewMs: 10_000, retryMs: 2000} as const

export interface ManagerOptions<Kind extends string, Context extends ReconcileContext<Kind>> extends Pick<
  Reconciliation<Kind, Context>,
  'kinds' | 'reconcilers' | 'contextOf' | 'onUnreadable'
> {
  readonly kube: KubeClient
  /** Name of the program: of its Lease, and of who reports its events. */
  readonly component: string
  /** Where its Lease is. */
  readonly namespace: string
  /** Who we are, for the other replicas: name of the pod. */
  readonly identity: string
  readonly registry: Registry
  /** Begins the names of its metrics: `clouder_controller`. */
  readonly metricsPrefix: string
  /** Default: 15 s, 10 s, 2 s. */
  readonly lease?: {readonly leaseMs: number; readonly renewMs: number; readonly retryMs: number}
  readonly now: () => number
  readonly log: Log
  readonly signal: AbortSignal
}

/** Reconcilers at work, in one of several processes of the same program. */
export interface Manager extends Health {
  /** Resolves when the signal was aborted and the Lease is given back; rejects when it cannot go on. */
  readonly ended: Promise<void>
}

/**
 * Runs reconcilers for as long as this process is the leader, until the signal is aborted. A process that waits for the
 * lead is as ready as one that has it.
 */
export function startManager<Kind extends string, Context extends ReconcileContext<Kind>>(
  options: ManagerOptions<Kind, Context>,
): Manager {
  const {kube, component, namespace, identity, now, log, signal} = options
  const metrics = reconcileMetrics(options.registry, options.metricsPrefix)
  let unready: string | undefined
  let liveness: WatchLiveness | undefined
  metrics.leads(false)
  const ended = electLeader({
    kube,
    namespace,
    name: component,
    identity,
    ...(options.lease ?? LEASE),
    lead: (leading) => {
      liveness = new WatchLiveness()
      return reconcileAll(
        {
          ...options,
          liveness,
          onReconciled: (reconciler, result) => metrics.reconciled(reconciler, result),
          onSynced: () => (unready = undefined),
        },
        {kube, component, log, now, signal: leading},
      )
    },
    onChange: (isLeader) => {
      metrics.leads(isLeader)
      if (!isLeader) liveness = undefined
      unready = isLeader ? 'it leads, and what is there has not been read yet' : undefined
    },
    log,
    signal,
  })
  // Whoever waits for it hears of it; it may come before that.
  ended.catch(() => undefined)
  return {ended, problem: () => liveness?.problem(), unready: () => unready}
}
