import type {Migration} from '../../api/resources.ts'
import {nodeSchema} from '../../kubernetes/pod.ts'
import type {Requeue} from '../../operator/reconciler.ts'
import {finish, phaseMs, updateStatus, type MigrationAt} from './migration-state.ts'
import {nodeFeaturesOf} from './placement.ts'
import type {ReconcileContext} from './reconcile-context.ts'

/** Whether the memory of a pod stays on its node until the pod runs on the other one. */
export const isLazy = ({spec}: Pick<Migration, 'spec'>): boolean => spec.memoryPolicy === 'Lazy'

/** Whether a node can fill in memory of processes that run, and serve it. */
export function servesPages(name: string, {objects}: ReconcileContext): boolean {
  const node = objects.get('Node', name)
  return node !== undefined && nodeFeaturesOf(nodeSchema.parse(node))?.postcopy === true
}

/** What is known of the memory that comes after the pod runs; undefined: the pod has not started. */
export const pagesOf = ({status}: Migration) => status?.transfer?.pages

/**
 * Whether processes of the pod may have run on the target without all of their memory: what the source has is older than
 * what others saw, and the target has only a part. With all of it, a move is rolled back as any other.
 */
export function hasRunInPart(migration: Migration): boolean {
  const {state} = pagesOf(migration) ?? {}
  return state === 'Starting' || state === 'Lost'
}

const MIB = 1024 ** 2
const AGAIN_MS = 2000

/** The pod is ready, and some of its memory is still on the source. */
export async function awaitPages(
  ready: {readonly readyTime: string; readonly downtimeMilliseconds?: number},
  at: MigrationAt,
): Promise<Requeue> {
  const {migration} = at
  const {sourceNodeName = '', targetNodeName = '', readyTime} = migration.status ?? {}
  const receivedMib = Math.floor((pagesOf(migration)?.receivedBytes ?? 0) / MIB)
  await updateStatus(at, {
    ...(readyTime === undefined ? ready : {}),
    message: `the pod runs on ${targetNodeName}; ${receivedMib} MiB of its memory have arrived, the rest is on ${sourceNodeName}`,
  })
  return {requeueAfterMs: AGAIN_MS}
}

/** As long as the agent of the target may take to report what came of the pod. */
const REPORT_MS = 30_000

/** Whether the agent of the target may still report that no process of the pod has run: its source can go on then. */
export const mayNotHaveRun = (at: MigrationAt): boolean =>
  pagesOf(at.migration)?.state === 'Starting' && phaseMs(at) < REPORT_MS

/** Ends a move that would be rolled back if its source was not gone. */
export function finishWithoutSource(at: MigrationAt): Promise<Requeue> {
  const {spec, status = {}} = at.migration
  return finish(
    at,
    'Failed',
    'MEMORY_LOST',
    `the memory of pod ${spec.podName} is lost: the pod ended or was deleted on ${status.sourceNodeName ?? ''} before its memory was on another node (memoryPolicy Lazy), and the move failed: ${status.message ?? ''}`,
  )
}

/** Ends a move whose pod has run on the target without all of its memory, when neither of both pods is left. */
export function finishLost(at: MigrationAt): Promise<Requeue> {
  const {spec, status = {}} = at.migration
  const {sourceNodeName = '', targetNodeName = ''} = status
  const pages = pagesOf(at.migration)
  const why = (pages?.state === 'Lost' ? pages.message : undefined) ?? status.message ?? ''
  return finish(
    at,
    'Failed',
    'MEMORY_LOST',
    `the memory of pod ${spec.podName} is lost: it ran on ${targetNodeName} before all of its memory had arrived from ${sourceNodeName} (memoryPolicy Lazy), and the rest did not arrive: ${why}. Both pods were deleted; the ReplicaSet creates a new pod, which starts without that memory`,
  )
}
