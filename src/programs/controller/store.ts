import {isDeepStrictEqual} from 'node:util'
import {checkpointStoreSchema, type CheckpointStore} from '../../api/resources.ts'
import type {BlobStore} from '../../checkpoint/stores/blob-store.ts'
import {CheckpointError} from '../../base/errors.ts'
import {withCondition} from '../../operator/conditions.ts'
import {collectStore} from './garbage.ts'
import {isRemote, openRemote} from './store-access.ts'
import {writeStatus, type Reconciler, type World} from './reconcile-context.ts'

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
    async reconcile(object, world) {
      const store = checkpointStoreSchema.parse(object)
      const {blobs, ...seen} = await probe(store, world)
      const before = store.status?.conditions
      const next = withCondition(before, {type: 'Ready', ...seen}, world.now())
      if (!isDeepStrictEqual(before, next)) await writeStatus(object, {conditions: next}, world)
      const key = object.metadata.uid ?? store.metadata.name
      const sinceMs = world.now() - (collectedAtMs.get(key) ?? Number.NEGATIVE_INFINITY)
      if (blobs !== undefined && sinceMs >= COLLECT_MS) {
        collectedAtMs.set(key, world.now())
        await collectStore(store.metadata.name, blobs, world)
      }
      return {requeueAfterMs: PROBE_MS}
    },
  }
}

async function probe(
  store: CheckpointStore,
  world: World,
): Promise<{status: 'True' | 'False' | 'Unknown'; reason: string; message: string; blobs?: BlobStore}> {
  if (store.spec.node !== undefined)
    return {status: 'True', reason: 'OnNodes', message: 'each node keeps what was made there'}
  if (!isRemote(store))
    return {status: 'Unknown', reason: 'OnNodes', message: 'only node agents reach it; none was asked'}
  try {
    const blobs = await openRemote(store, world)
    await blobs.has(NOTHING, world.signal)
    return {status: 'True', reason: 'Answered', message: `${blobs.place} answers`, blobs}
  } catch (error) {
    world.signal.throwIfAborted()
    if (!(error instanceof CheckpointError)) throw error
    return {status: 'False', reason: error.code, message: error.message}
  }
}
