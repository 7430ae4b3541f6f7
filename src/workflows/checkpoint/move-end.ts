import type {Migration} from '../../api/resources.ts'

/**
 * Until when a move is followed. `running`: the processes run on the target, and the pod need not become ready by a probe
 * or a gate; the cluster completes the move then, or rolls it back. `complete`: the kubelet has reported the pod ready,
 * and the source is gone.
 */
export type MoveEnd = 'running' | 'complete'

/** Whether all that is left of a move is that the kubelet reports what the node agent of the target has reported. */
export const isRunningThere = (status: NonNullable<Migration['status']>): boolean =>
  status.phase === 'Verifying' &&
  status.runningTime !== undefined &&
  status.awaitsReadiness === false &&
  status.downtimeMilliseconds !== undefined
