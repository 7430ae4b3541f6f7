import type {CheckpointStatus} from '../../../api/resources.ts'
import type {Named} from '../checkpoint-object.ts'
import {describe, MOST_OBSTACLES, refuseToEnd} from '../seal.ts'
import type {AgentTools} from '../tools.ts'
import type {ContainerFolder} from './dump-files.ts'

export type OfferTools = Pick<
  AgentTools,
  'archives' | 'inspect' | 'node' | 'now' | 'outgoing' | 'pageServers' | 'signal'
>

/**
 * Describes a complete dump that is moved to another node, and gives the status of its Checkpoint; nothing if it is not
 * one that is sent. Throws CheckpointError CHECKPOINT_FAILED, and RESTORE_IMPOSSIBLE when the pod could not be restored.
 */
export async function offerDump(
  checkpoint: Named,
  containers: NonNullable<CheckpointStatus['containers']>,
  tools: OfferTools,
): Promise<CheckpointStatus> {
  const {archives, outgoing} = tools
  const {spec, status, uid} = checkpoint
  const folders: ContainerFolder[] = []
  for (const {name} of containers) {
    const folder = await archives.folderOf(uid, name)
    // An archive of the runtime is stored, and goes by way of the store.
    if (folder === undefined) return {}
    folders.push({name, folder})
  }
  const [{summary, obstacles}, transfer] = await Promise.all([
    describe({...checkpoint, status: {...status, containers}}, tools),
    outgoing.offer(uid, folders),
  ])
  refuseToEnd(checkpoint, obstacles)
  const isLazy = spec.transfer?.lazy === true
  return {
    phase: 'Dumped',
    transfer: {
      ...transfer,
      ...(isLazy ? {publicKey: tools.pageServers.keyOf(status?.podUID ?? '').publicKey} : {}),
    },
    summary,
    ...(obstacles.length === 0 ? {} : {obstacles: obstacles.slice(0, MOST_OBSTACLES)}),
    message: `offering ${transfer.sizeBytes} bytes to node ${spec.transfer?.nodeName ?? ''}`,
  }
}
