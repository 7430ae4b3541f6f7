import {migrationSchema, type Migration} from '../api/resources.ts'
import type {KubeObject} from '../kubernetes/types.ts'

/** The move that a Checkpoint belongs to, by its status, which only clouder writes. */
export const moveWith = (checkpointName: string, migrations: readonly KubeObject[]): Migration | undefined =>
  migrations
    .map((object) => migrationSchema.safeParse(object).data)
    .find((migration) => migration?.status?.checkpointName === checkpointName)

/**
 * Whether a move has begun to start the pod on the target: it decides whether the source resumes or ends, and may still
 * restore it from the Checkpoint. A source that is resumed because the Checkpoint is deleted would run beside the new pod.
 */
export function isHeldByMove(move: Migration | undefined): boolean {
  const {phase, moveTime} = move?.status ?? {}
  return phase === 'Moving' || phase === 'Verifying' || (phase === 'RollingBack' && moveTime !== undefined)
}

/** Whether a pod is the source of a move that has begun to start it on the target. */
export const isSourceOfMove = (podUid: string, migrations: readonly KubeObject[]): boolean =>
  migrations
    .map((object) => migrationSchema.safeParse(object).data)
    .some((move) => move?.status?.sourcePodUID === podUid && isHeldByMove(move))
