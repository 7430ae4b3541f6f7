import type {Checkpoint} from '../../../api/resources.ts'
import {CheckpointError} from '../../../checkpoint/errors.ts'
import type {AgentTools} from '../tools.ts'

const MIB = 1024 ** 2

/** The node that a dump is sent to refuses it, before anything is frozen. */
export class TargetRefusal extends CheckpointError {
  readonly nodeName: string

  constructor(nodeName: string, message: string) {
    super('TOO_LARGE', message)
    this.nodeName = nodeName
  }
}

/**
 * Refuses to dump what the node that it is sent to has no room for; to be asked before anything is frozen. Throws
 * TargetRefusal TOO_LARGE.
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
  throw new TargetRefusal(
    spec.transfer.nodeName,
    `node ${spec.transfer.nodeName} has ${freeMib} MiB free for the memory of the pod, which needs about ${wantedMib} MiB`,
  )
}
