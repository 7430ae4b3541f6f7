import {CheckpointError} from '../../checkpoint/errors.ts'
import type {Pod} from '../../kubernetes/pod.ts'

/** Why a container of a pod was not dumped: CHECKPOINT_FAILED. */
export const notDumped = (pod: Pod, container: string, why: string, cause?: Error): CheckpointError =>
  new CheckpointError(
    'CHECKPOINT_FAILED',
    `container ${container} of pod ${pod.metadata.namespace}/${pod.metadata.name} was not checkpointed: ${why}`,
    cause === undefined ? {} : {cause},
  )
