import {API_VERSION, MOVE_WAITS, ROLLED_BACK_ANNOTATION} from '../../api/names.ts'
import type {Migration} from '../../api/resources.ts'
import {TimeoutError} from '../../base/errors.ts'
import {waitFor} from '../../base/waiting.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {moveWith} from '../../checkpoint/moves.ts'
import type {Pod} from '../../kubernetes/pod.ts'
import {checkpointRef, parseCheckpoint} from './checkpoint-object.ts'
import type {AgentTools} from './tools.ts'

/** The restore handler waits for 110 s. */
const WAIT_MS = 90_000
const LOOK_EVERY_MS = 100

/** Phases in which the pod on the target may start: the source is gone, or stays frozen as long as this pod exists. */
const STARTS: readonly unknown[] = ['Moving', 'Verifying', 'Succeeded']
const BEFORE: readonly unknown[] = [undefined, 'Pending', 'Checkpointing', 'Preparing']

export interface GateOptions {
  /** How long to wait for the move; default: a little less than the handler waits. */
  readonly waitMs?: number
}

/**
 * Waits until a direct move lets its new pod start, which may be created long before; returns at once for any other pod.
 * Throws CheckpointError RESTORE_FAILED when the time is up, which is tried again, and when the pod must not start.
 */
export async function awaitMove(
  pod: Pod,
  checkpointName: string,
  {kube, signal}: Pick<AgentTools, 'kube' | 'signal'>,
  {waitMs = WAIT_MS}: GateOptions = {},
): Promise<void> {
  const {namespace, name, annotations} = pod.metadata
  const object = await kube.get(checkpointRef({namespace, name: checkpointName}))
  const checkpoint = object === undefined ? undefined : parseCheckpoint(object)
  if (checkpoint?.spec.transfer === undefined) return
  const isBack = annotations[ROLLED_BACK_ANNOTATION] === 'true'
  // Read after the phase: the agent of the source resumes it if the phase is an earlier one after the deletion.
  const refuseDeleted = async (): Promise<void> => {
    const now = await kube.get(checkpointRef({namespace, name: checkpointName}))
    if (now?.metadata.uid === checkpoint.uid && now.metadata.deletionTimestamp === undefined) return
    throw new CheckpointError('CHECKPOINT_UNKNOWN', `checkpoint ${namespace}/${checkpointName} was deleted`)
  }
  const check = async (): Promise<{value?: true; seen: string}> => {
    const {spec, status} = (await moveOf(namespace, checkpointName, kube)) ?? {}
    const {phase, newPodName} = status ?? {}
    // One that is stored is for anybody, apart from the pod that was created in advance.
    if (checkpoint.status?.phase === 'Ready' && newPodName !== name) return {value: true, seen: 'stored'}
    if (spec === undefined)
      throw new CheckpointError(
        'CHECKPOINT_UNKNOWN',
        `checkpoint ${namespace}/${checkpointName} is of a move that no longer exists`,
      )
    const seen = `the move is in phase ${phase ?? 'Pending'}`
    if (isBack && phase === 'RollingBack' && spec.podName === name) return {value: true, seen}
    if (!isBack && newPodName === name && STARTS.includes(phase)) {
      if (name !== spec.podName) await refuseDeleted()
      return {value: true, seen}
    }
    if (!isBack && newPodName === name && BEFORE.includes(phase)) return {seen}
    throw new CheckpointError(
      'RESTORE_FAILED',
      `checkpoint ${namespace}/${checkpointName} is of a move that does not start pod ${name}: ${seen}`,
    )
  }
  try {
    await waitFor({what: MOVE_WAITS, check, timeoutMs: waitMs, intervalMs: LOOK_EVERY_MS, signal})
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error
    throw new CheckpointError('RESTORE_FAILED', `${MOVE_WAITS}: ${error.message}`, {cause: error})
  }
}

/** The move that a Checkpoint belongs to, as the server has it now. */
export const moveOf = async (
  namespace: string,
  checkpointName: string,
  kube: Pick<AgentTools['kube'], 'list'>,
): Promise<Migration | undefined> =>
  moveWith(checkpointName, await kube.list({apiVersion: API_VERSION, kind: 'Migration', namespace}))
