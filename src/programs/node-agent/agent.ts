import type {Registry} from 'prom-client'
import {startManager, type Manager} from '../../operator/manager.ts'
import type {AgentContext} from './agent-context.ts'
import {checkpointImages} from './create-image.ts'
import {followedKinds, type AgentKind} from './followed-kinds.ts'
import {removeLeftovers} from './leftovers.ts'
import type {Preparations} from './prepare.ts'
import {reconcilers} from './reconcilers.ts'
import type {AgentTools} from './tools.ts'

/** A store that is away, or a large checkpoint, must not keep a pod waiting that stands still for another one. */
const CONCURRENCY = Number.POSITIVE_INFINITY

/**
 * Does what Checkpoints, Restores and Migrations ask of this node until the signal is aborted. What an agent before it
 * left undone is found in their statuses and on the disk.
 */
export function startAgent(tools: AgentTools, preparations: Preparations, registry: Registry): Manager {
  const {kube, node, now, log, signal} = tools
  const startedAtMs = now()
  return startManager<AgentKind, AgentContext>({
    kube,
    component: 'clouder-node-agent',
    registry,
    metricsPrefix: 'clouder_node',
    kinds: followedKinds(node),
    reconcilers,
    contextOf: (context) => ({...context, tools, preparations, checkpointImages: checkpointImages(tools)}),
    // The controller says so on the object itself.
    onUnreadable: (kind, {metadata: {namespace, name}}, problem) => {
      log('warn', 'ignored an invalid object', {kind, namespace, name, error: problem})
      return Promise.resolve()
    },
    onSynced: (context) => removeLeftovers(context, startedAtMs),
    concurrency: CONCURRENCY,
    retryMs: {first: 1000, most: 60_000},
    now,
    log,
    signal,
  })
}
