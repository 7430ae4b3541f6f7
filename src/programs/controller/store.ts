import {isDeepStrictEqual} from 'node:util'
import {checkpointStoreSchema, type CheckpointStore} from '../../api/resources.ts'
import type {BlobStore} from '../../checkpoint/stores/blob-store.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {withCondition} from '../../operator/conditions.ts'
import {collectStore} from './garbage.ts'
import {isRemote, openRemote} from './store-access.ts'
import {writeStatus} from '../../operator/writes.ts'
import type {Reconciler, ReconcileContext} from './reconcile-context.ts'

const PROBE_MS = 5 * 60_000
const COLLECT_MS = 6 * 3_600_000
/** Asked for to see whether a store answers. */
const NOTHING = `sha256:${'0'.repeat(64)}` as const

/**
 * Tells by condition Ready whether a CheckpointStore answers with the credentials that it names, and from time to time
 * takes out of it what nothing needs any more.
 */
export function storeReconciler(): Reconciler {
  const collectedAtMs = new Map<string, number>()
  return {
    name: 'store',
    kind: 'CheckpointStore',
    async reconcile(object, context) {
      const store = checkpointStoreSchema.parse(object)
      const {blobs, ...seen} = await probe(store, context)
      const before = store.status?.conditions
      const next = withCondition(
        before,
        {type: 'Ready', ...seen},
        {generation: store.metadata.generation, nowMs: context.now()},
      )
      if (!isDeepStrictEqual(before, next)) await writeStatus(object, {conditions: next}, context)
      const key = object.metadata.uid ?? store.metadata.name
      const sinceMs = context.now() - (collectedAtMs.get(key) ?? Number.NEGATIVE_INFINITY)
      if (blobs !== undefined && sinceMs >= COLLECT_MS) {
        collectedAtMs.set(key, context.now())
        await collectStore(store.metadata.name, blobs, context)
      }
      return {requeueAfterMs: PROBE_MS}
    },
  }
}

async function probe(
  store: CheckpointStore,
  context: ReconcileContext,
): Promise<{status: 'True' | 'False' | 'Unknown'; reason: string; message: string; blobs?: BlobStore}> {
  if (store.spec.node !== undefined)
    return {status: 'True', reason: 'OnNodes', message: 'each node stores its own checkpoints'}
  if (!isRemote(store))
    return {
      status: 'Unknown',
      reason: 'OnNodes',
      message: 'only node agents can access this store; it was not checked',
    }
  try {
    const blobs = await openRemote(store, context)
    await blobs.has(NOTHING, context.signal)
    return {status: 'True', reason: 'Answered', message: `${blobs.location} responds`, blobs}
  } catch (error) {
    context.signal.throwIfAborted()
    if (!(error instanceof CheckpointError)) throw error
    return {status: 'False', reason: error.code, message: error.message}
  }
}
