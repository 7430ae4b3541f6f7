import type {Checkpoint} from '../../../api/resources.ts'
import {CheckpointError} from '../../../checkpoint/errors.ts'
import type {AgentTools} from '../tools.ts'

const MIB = 1024 ** 2

/** The node that a dump is sent to refuses it, before anything is frozen. */
export class TargetRefusal extends CheckpointError {
  readonly nodeName: string

  constructor(code: 'TOO_LARGE' | 'TRANSFER_FAILED', nodeName: string, message: string) {
    super(code, message)
    this.nodeName = nodeName
  }
}

/**
 * Refuses to dump what the node that it is sent to has no room for, or does not request: the pod would be frozen until
 * that is given up. To be asked before anything is frozen. Throws TargetRefusal TOO_LARGE, TRANSFER_FAILED.
 */
export async function refuseBeyondTarget(
  {spec}: Checkpoint,
  checkpointUid: string,
  wantedBytes: number,
  {outgoing, signal}: Pick<AgentTools, 'outgoing' | 'signal'>,
): Promise<void> {
  if (spec.transfer === undefined) return
  const roomBytes = await outgoing.roomOf(checkpointUid, signal)
  const {nodeName} = spec.transfer
  if (roomBytes === undefined)
    throw new TargetRefusal(
      'TRANSFER_FAILED',
      nodeName,
      `the node agent of ${nodeName} did not connect to request the memory of the pod`,
    )
  if (wantedBytes <= roomBytes) return
  const [freeMib, wantedMib] = [Math.floor(roomBytes / MIB), Math.ceil(wantedBytes / MIB)]
  throw new TargetRefusal(
    'TOO_LARGE',
    nodeName,
    `node ${nodeName} has ${freeMib} MiB free for the memory of the pod, which needs about ${wantedMib} MiB`,
  )
}
