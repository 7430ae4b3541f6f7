import {isTransient} from '../../base/errors.ts'
import {ConflictError} from '../../kubernetes/conflict.ts'
import type {KubeObject, ObjectRef} from '../../kubernetes/types.ts'
import {retry} from '../../base/waiting.ts'
import type {CheckpointStatus} from '../../api/resources.ts'
import {checkpointRef, parseCheckpoint, type CheckpointName, type Named} from './checkpoint-object.ts'
import {withPhaseConditions} from '../../operator/phase-conditions.ts'
import type {AgentTools} from './tools.ts'

const PAUSE_MS = 1_000

/**
 * Writes a status on top of an object that `expected` accepts as the server has it now, and tries until the server
 * takes or refuses it: what it tells of is done, and would have to be done again. True also when an answer was lost and
 * the server turns out to have taken it. False: the object is gone, or not as expected any more.
 */
export async function writeStatusIf(
  ref: ObjectRef,
  expected: (object: KubeObject) => boolean,
  status: object,
  {kube, now, signal}: Pick<AgentTools, 'kube' | 'now' | 'signal'>,
): Promise<boolean> {
  let isUnsure = false
  return retry(
    async () => {
      for (;;) {
        signal.throwIfAborted()
        const object = await kube.get(ref)
        if (object === undefined) return false
        if (!expected(object)) return isUnsure && hasTaken(object, status)
        const {resourceVersion} = object.metadata
        isUnsure = true
        const next = withPhaseConditions(object, status, now())
        // Who wrote in between may have changed what is expected.
        const written = await kube
          .patch(ref, {status: next}, {subresource: 'status', resourceVersion})
          .catch(unlessConflict)
        if (written !== undefined) return true
      }
    },
    {timeoutMs: Number.POSITIVE_INFINITY, intervalMs: PAUSE_MS, signal, again: isTransient},
  )
}

/** Writes a status on top of what was read; false: somebody else wrote in between, or it is gone. */
export async function writeUnlessConflict(
  checkpoint: CheckpointName,
  resourceVersion: string | undefined,
  status: object,
  {kube}: Pick<AgentTools, 'kube'>,
): Promise<boolean> {
  const options = {subresource: 'status', resourceVersion} as const
  const written = await kube.patch(checkpointRef(checkpoint), {status}, options).catch(unlessConflict)
  return written !== undefined
}

function unlessConflict(error: unknown): undefined {
  if (!(error instanceof ConflictError)) throw error
}

/** Whether the status of an object is what was written; the server leaves out of its parts what it does not know. */
function hasTaken(object: KubeObject, status: object): boolean {
  const now = new Map(Object.entries(object['status'] ?? {}))
  return Object.entries(status).every(([key, value]: [string, unknown]) => {
    if (value === null || value === undefined) return !now.has(key)
    return typeof value === 'object' ? now.has(key) : now.get(key) === value
  })
}

/** Writes into the status of this Checkpoint, and of none that bears its name by now; false: it is not as `expected`. */
export const writeOwn = (
  {uid, namespace, name}: Named,
  next: object,
  tools: Pick<AgentTools, 'kube' | 'now' | 'signal'>,
  expected: (status: CheckpointStatus) => boolean,
): Promise<boolean> =>
  writeStatusIf(
    checkpointRef({namespace, name}),
    (object) => {
      const now = parseCheckpoint(object)
      return now.uid === uid && expected(now.status ?? {})
    },
    next,
    tools,
  )

/** Notes that nothing stands still any more for a Checkpoint. */
export const noteThawed = (
  checkpoint: Named,
  tools: Pick<AgentTools, 'kube' | 'now' | 'signal'>,
): Promise<boolean> =>
  writeOwn(
    checkpoint,
    {frozen: false},
    tools,
    ({frozen, podUID}) => frozen === true && podUID === checkpoint.status?.podUID,
  )
