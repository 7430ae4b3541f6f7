import type {Checkpoint} from '../../../api/resources.ts'
import {CheckpointError} from '../../../checkpoint/errors.ts'
import type {AgentTools} from '../tools.ts'

const MIB = 1024 ** 2

/**
 * Refuses to dump what the node that it is sent to has no room for; to be asked before anything is frozen. Throws
 * CheckpointError TOO_LARGE.
 */
export async function refuseBeyondTarget(
  {spec}: Checkpoint,
  checkpointUid: string,
  wantedBytes: number,
  {outgoing, signal}: Pick<AgentTools, 'outgoing' | 'signal'>,
): Promise<void> {
  if (spec.transfer === undefined) return
  const roomBytes = await outgoing.roomOf(checkpointUid, signal)
  if (roomBytes === undefined || wantedBytes <= roomBytes) return
  const [freeMib, wantedMib] = [Math.floor(roomBytes / MIB), Math.ceil(wantedBytes / MIB)]
  throw new CheckpointError(
    'TOO_LARGE',
    `node ${spec.transfer.nodeName} has ${freeMib} MiB free for the memory of the pod, which needs about ${wantedMib} MiB`,
  )
}
