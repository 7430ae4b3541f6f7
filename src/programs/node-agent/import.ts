import {withPhaseConditions} from '../../operator/phase-conditions.ts'
import type {CheckpointStatus} from '../../api/resources.ts'
import {openCheckpoint} from '../../checkpoint/sealed/open.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {digestSchema} from '../../api/sealed-checkpoint.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {checkpointRef, parseCheckpoint, type Named} from './checkpoint-object.ts'
import type {AgentTools} from './tools.ts'
import {writeStatusIf, writeUnlessConflict} from './write-status.ts'

/** What an import touches: no pod, no runtime. */
export type ImportTools = Pick<AgentTools, 'kube' | 'node' | 'now' | 'signal' | 'stores'>

/**
 * Makes a Checkpoint of one that lies in a store already. Any agent that finds it there may; the first one does. One of
 * another namespace is refused: its memory belongs there.
 */
export async function importCheckpoint(
  checkpoint: Named,
  digestText: string,
  tools: ImportTools,
): Promise<void> {
  const {stores, signal, node, now} = tools
  const digest = digestSchema.safeParse(digestText).data
  const {blobs, keys} = await stores.open(checkpoint.spec.storeName, {usedBy: checkpoint.namespace, signal})
  if (digest === undefined || (await blobs.getManifest(digest, signal)) === undefined) return
  const startTime = new Date(now()).toISOString()
  const storing = {phase: 'Storing', nodeName: node, startTime, message: `opening ${digest}`}
  const claim = withPhaseConditions({...checkpoint, kind: 'Checkpoint'}, storing, now())
  if (!(await writeUnlessConflict(checkpoint, checkpoint.metadata.resourceVersion, claim, tools))) return
  const {metadata, envelope} = await openCheckpoint({
    store: blobs,
    digest,
    keys: keys.wrappers,
    trust: keys.trust,
    signal,
  })
  if (metadata.namespace !== checkpoint.namespace) {
    throw new CheckpointError(
      'CHECKPOINT_UNKNOWN',
      `${digest} was created in namespace ${metadata.namespace} and can only be restored there`,
    )
  }
  const pieces = [envelope.table, ...envelope.chunks]
  const next: CheckpointStatus = {
    phase: 'Ready',
    digest,
    location: blobs.location,
    sizeBytes: metadata.containers.reduce((sum, {archiveBytes}) => sum + archiveBytes, 0),
    storedBytes: pieces.reduce((sum, {storedBytes}) => sum + storedBytes, 0),
    containers: metadata.containers.map(({name, image, archiveBytes}) => ({name, image, archiveBytes})),
    nodeFeatures: metadata.source,
    podTemplate: metadata.podTemplate,
    frozen: false,
    message: `imported from ${blobs.location}, created from pod ${metadata.pod} on ${metadata.createdAt}`,
    completionTime: new Date(now()).toISOString(),
  }
  const isOurs = (object: KubeObject): boolean => {
    const {uid, status} = parseCheckpoint(object)
    return uid === checkpoint.uid && status?.phase === 'Storing' && status.nodeName === node
  }
  await writeStatusIf(checkpointRef(checkpoint), isOurs, next, tools)
}
