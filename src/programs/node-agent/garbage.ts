import {removeGarbage} from '../../checkpoint/gc.ts'
import {API_VERSION, SYSTEM_NAMESPACE} from '../../api/names.ts'
import {readable} from '../../base/readable.ts'
import {checkpointStoreSchema} from '../../api/resources.ts'
import type {Digest} from '../../checkpoint/stores/blob-store.ts'
import {KEY_SECRET} from './key-ring.ts'
import {isLocal} from './remove.ts'
import type {AgentTools} from './tools.ts'

type Tools = Pick<AgentTools, 'kube' | 'stores' | 'now' | 'log' | 'signal'>

/** Removes from the disks that this agent reaches what no Checkpoint names any more. */
export async function collectGarbage(tools: Tools): Promise<void> {
  const {kube, stores, now, log, signal} = tools
  const sinceMs = await keySinceMs(tools)
  // Without a key nothing was ever stored.
  if (sinceMs === undefined) return
  const objects = await kube.list({apiVersion: API_VERSION, kind: 'CheckpointStore'})
  const known = readable(objects, checkpointStoreSchema, ({metadata}, error) =>
    log('warn', 'ignored an invalid store', {store: metadata.name, error}),
  )
  for (const store of known.filter(isLocal)) {
    const {name} = store.metadata
    const {blobs, keys} = await stores.open(name, {signal})
    const {removedManifests, removedBlobs, freedBytes} = await removeGarbage({
      store: blobs,
      named: () => namedDigests(tools),
      own: {publicKey: keys.signer.publicKey, sinceMs},
      dryRun: false,
      nowMs: now(),
      signal,
    })
    if (removedManifests.length + removedBlobs > 0)
      log('info', 'deleted unused data from a store', {
        store: name,
        checkpoints: removedManifests.length,
        removedBlobs,
        freedBytes,
      })
  }
}

/** Not by the schema: what an object names that is not valid any more is to stay too. */
async function namedDigests({kube}: Tools): Promise<ReadonlySet<Digest>> {
  const text = JSON.stringify(await kube.list({apiVersion: API_VERSION, kind: 'Checkpoint'}))
  const found = text.matchAll(/sha256:([0-9a-f]{64})/g)
  return new Set([...found].map(([, hex = '']): Digest => `sha256:${hex}`))
}

/** When this cluster got its keys. */
async function keySinceMs({kube}: Tools): Promise<number | undefined> {
  const secret = await kube.get({
    apiVersion: 'v1',
    kind: 'Secret',
    namespace: SYSTEM_NAMESPACE,
    name: KEY_SECRET,
  })
  const sinceMs = Date.parse(String(secret?.metadata['creationTimestamp']))
  return Number.isNaN(sinceMs) ? undefined : sinceMs
}
