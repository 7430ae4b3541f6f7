import {z} from 'zod'
import {removeGarbage} from '../../checkpoint/gc.ts'
import {API_VERSION, SYSTEM_NAMESPACE} from '../../api/names.ts'
import type {BlobStore, Digest} from '../../checkpoint/stores/blob-store.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import type {ReconcileContext} from './reconcile-context.ts'

const keySchema = z.looseObject({
  metadata: z.looseObject({creationTimestamp: z.string()}),
  data: z.looseObject({'public-key': z.base64()}),
})

/** Takes out of a store what no Checkpoint needs any more. A store that cannot be cleaned is told, and is used as before. */
export async function collectStore(name: string, blobs: BlobStore, context: ReconcileContext): Promise<void> {
  const {kube, log, signal} = context
  const key = keySchema.safeParse(
    await kube.get({apiVersion: 'v1', kind: 'Secret', namespace: SYSTEM_NAMESPACE, name: 'checkpoint-key'}),
  ).data
  // No agent has stored anything yet.
  if (key === undefined) return
  try {
    const {removedManifests, ...collected} = await removeGarbage({
      store: blobs,
      named: () => namedDigests(context),
      own: {
        publicKey: Buffer.from(key.data['public-key'], 'base64').toString('utf8'),
        sinceMs: Date.parse(key.metadata.creationTimestamp),
      },
      dryRun: false,
      nowMs: context.now(),
      signal,
    })
    const orphans = removedManifests.map((manifest) => manifest.name)
    if (orphans.length > 0 || collected.removedBlobs > 0) {
      log('info', 'deleted unused data from a store', {store: name, orphans, ...collected})
    }
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof CheckpointError)) throw error
    log('warn', 'deleting unused data from a store failed', {
      store: name,
      code: error.code,
      message: error.message,
    })
  }
}

/**
 * Every digest that any Checkpoint holds, whatever its store is called: two of them may be the same place. Not by the
 * schema: what an object names that is not valid any more is to stay too.
 */
async function namedDigests({kube}: ReconcileContext): Promise<ReadonlySet<Digest>> {
  const text = JSON.stringify(await kube.list({apiVersion: API_VERSION, kind: 'Checkpoint'}))
  const found = text.matchAll(/sha256:([0-9a-f]{64})/g)
  return new Set([...found].map(([, hex = '']): Digest => `sha256:${hex}`))
}
