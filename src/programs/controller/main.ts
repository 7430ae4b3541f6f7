import {collectDefaultMetrics, Registry} from 'prom-client'
import {z} from 'zod'
import {NODE_STORE_DIR, SYSTEM_NAMESPACE} from '../../api/names.ts'
import type {Usage} from '../../api/usage.ts'
import {openStore} from '../../checkpoint/stores/open.ts'
import {openInClusterKube} from '../../kubernetes/in-cluster.ts'
import {serveHttp} from '../../operator/http-server.ts'
import {startManager, type Election, type Manager, type ManagerOptions} from '../../operator/manager.ts'
import type {Program} from '../../operator/program.ts'
import {FOLLOWED} from './followed-kinds.ts'
import {controllerMetrics} from './metrics.ts'
import type {Objects, ReconcileContext, WatchedKind} from './reconcile-context.ts'
import {reconcilers} from './reconcilers.ts'
import {reportUnreadable} from './unreadable.ts'
import {askUsage} from './usage.ts'

/** Name of its Lease, and of who reports its events. */
const COMPONENT = 'clouder-controller'

/** What the Deployment gives. */
const environmentSchema = z.object({
  POD_NAME: z.string().min(1),
  PORT: z.coerce.number().int(),
  /** Where node agents listen. */
  AGENT_PORT: z.coerce.number().int(),
  CLAIM_DIR: z.string().startsWith('/'),
  KUBERNETES_SERVICE_HOST: z.string().min(1),
  KUBERNETES_SERVICE_PORT: z.coerce.number().int(),
})

export interface ControllerOptions
  extends
    Pick<ManagerOptions<WatchedKind, ReconcileContext>, 'kube' | 'registry' | 'now' | 'log' | 'signal'>,
    Pick<Election, 'identity' | 'lease'> {
  readonly openStore: ReconcileContext['openStore']
  readonly usageOf: (node: string, objects: Objects, signal: AbortSignal) => Promise<Usage>
}

/** Acts on what is asked of the cluster for as long as it is the leader, until the signal is aborted. */
export function startController(options: ControllerOptions): Manager {
  const {identity, lease, registry, openStore, usageOf} = options
  const metrics = controllerMetrics(registry)
  return startManager<WatchedKind, ReconcileContext>({
    ...options,
    component: COMPONENT,
    election: {namespace: SYSTEM_NAMESPACE, identity, lease},
    metricsPrefix: 'clouder_controller',
    kinds: FOLLOWED,
    reconcilers,
    contextOf: (context) => ({
      ...context,
      openStore,
      usageOf: (node) => usageOf(node, context.objects, context.signal),
      metrics,
    }),
    onUnreadable: reportUnreadable,
  })
}

/** The program: a controller with its figures on a port, in the cluster as its service account. */
export const run: Program = async ({environment: variables, now, log, signal}) => {
  const environment = environmentSchema.parse(variables)
  // It outlives the signal: the Lease is given back after that.
  const over = new AbortController()
  const kube = await openInClusterKube({
    host: environment.KUBERNETES_SERVICE_HOST,
    port: environment.KUBERNETES_SERVICE_PORT,
    signal: over.signal,
  })
  const registry = new Registry()
  collectDefaultMetrics({register: registry})
  const controller = startController({
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
  try {
    const server = await serveHttp(environment.PORT, {registry, health: controller, log})
    await controller.ended.finally(() => server.close())
  } finally {
    over.abort()
    kube.close()
  }
}
