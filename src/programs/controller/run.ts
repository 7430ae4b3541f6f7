import {collectDefaultMetrics, Registry} from 'prom-client'
import {z} from 'zod'
import {SYSTEM_NAMESPACE} from '../../api/names.ts'
import {openStore} from '../../checkpoint/stores/open.ts'
import {NODE_STORE_DIR} from '../../api/names.ts'
import {openInClusterKube} from '../../kubernetes/in-cluster.ts'
import type {KubeClient} from '../../kubernetes/types.ts'
import {lead, type Outside} from './lead.ts'
import {electLeader} from '../../operator/leader-election.ts'
import type {Health} from '../../operator/health.ts'
import {serveHttp} from '../../operator/http-server.ts'
import {controllerMetrics} from './metrics.ts'
import {askUsage} from './usage.ts'
import type {Log} from '../../operator/log.ts'
import type {ReconcileContext} from './reconcile-context.ts'

/** Name of its Lease, and of who reports its events. */
const COMPONENT = 'clouder-controller'

/** What the Deployment gives. */
export const controllerEnvironmentSchema = z.object({
  POD_NAME: z.string().min(1),
  PORT: z.coerce.number().int(),
  /** Where node agents listen. */
  AGENT_PORT: z.coerce.number().int(),
  CLAIM_DIR: z.string().startsWith('/'),
  KUBERNETES_SERVICE_HOST: z.string().min(1),
  KUBERNETES_SERVICE_PORT: z.coerce.number().int(),
})
export type ControllerEnvironment = z.output<typeof controllerEnvironmentSchema>

export interface ControllerOptions {
  readonly kube: KubeClient
  /** Who we are, for the other replicas. */
  readonly identity: string
  readonly openStore: ReconcileContext['openStore']
  readonly usageOf: Outside['usageOf']
  readonly registry: Registry
  readonly now: () => number
  readonly log: Log
  readonly signal: AbortSignal
  /** Default: 15 s, 10 s, 2 s. */
  readonly lease?: {readonly leaseMs: number; readonly renewMs: number; readonly retryMs: number}
}

/** Acts on what is asked of the cluster for as long as it is the leader, until the signal is aborted. */
export async function runController(options: ControllerOptions): Promise<void> {
  const {kube, identity, registry, now, log, signal} = options
  const metrics = controllerMetrics(registry)
  metrics.leads(false)
  await electLeader({
    kube,
    namespace: SYSTEM_NAMESPACE,
    name: COMPONENT,
    identity,
    ...(options.lease ?? {leaseMs: 15_000, renewMs: 10_000, retryMs: 2000}),
    lead: (leading) => {
      const {openStore, usageOf} = options
      return lead({kube, component: COMPONENT, openStore, usageOf, metrics, log, now, signal: leading})
    },
    onChange: (isLeader) => metrics.leads(isLeader),
    log,
    signal,
  })
}

/** One that waits for the lead is as fit as one that has it. */
const HEALTHY: Health = {problem: () => undefined, unready: () => undefined}

/** The program: a controller with its figures on a port, in the cluster as its service account. */
export async function runControllerProgram(
  environment: ControllerEnvironment,
  {now, log, signal}: {readonly now: () => number; readonly log: Log; readonly signal: AbortSignal},
): Promise<void> {
  // It outlives the signal: the Lease is given back after that.
  const over = new AbortController()
  const kube = await openInClusterKube({
    host: environment.KUBERNETES_SERVICE_HOST,
    port: environment.KUBERNETES_SERVICE_PORT,
    signal: over.signal,
  })
  const registry = new Registry()
  collectDefaultMetrics({register: registry})
  const server = await serveHttp(environment.PORT, {registry, health: HEALTHY, log})
  try {
    await runController({
      kube,
      identity: environment.POD_NAME,
      openStore: (spec, credentials) =>
        openStore(spec, {
          nodeDir: NODE_STORE_DIR,
          ...(credentials === undefined ? {} : {credentials}),
        }),
      usageOf: (node, objects, leading) =>
        askUsage(node, objects, {kube, port: environment.AGENT_PORT, signal: leading}),
      registry,
      now,
      log,
      signal,
    })
  } finally {
    server.close()
    over.abort()
    kube.close()
  }
}
