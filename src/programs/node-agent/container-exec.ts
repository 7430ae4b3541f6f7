import {delimitedField, numberField, readMessage} from '../../checkpoint/archive/protobuf.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {criCall, DEADLINE_EXCEEDED, OK, runtimeAway, UNAVAILABLE} from './cri-call.ts'

export interface ExecResult {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/**
 * Runs a command in a running container of this node, as the container's own user, and waits for its end; any exit code
 * is an answer. When the time is up, or the signal is aborted, the command is killed. Throws CheckpointError
 * CHECKPOINT_FAILED, KubernetesError API_UNREACHABLE when the runtime is away and nothing was begun.
 */
export type ContainerExec = (
  containerId: string,
  command: readonly string[],
  options: {readonly timeoutSeconds: number; readonly signal: AbortSignal},
) => Promise<ExecResult>

/** The runtime kills the command when its time is up, and says so: what it is given for that. */
const GRACE_MS = 5_000

/** The container runtime behind a socket, by its CRI: what a kubelet would run a command by. */
export function criExec(socket: string): ContainerExec {
  return async (containerId, command, {timeoutSeconds, signal}) => {
    const request = Buffer.concat([
      delimitedField(1, containerId),
      ...command.map((word) => delimitedField(2, word)),
      numberField(3, timeoutSeconds),
    ])
    const limit = AbortSignal.timeout(timeoutSeconds * 1000 + GRACE_MS)
    const answer = await criCall(socket, 'ExecSync', request, AbortSignal.any([signal, limit])).catch(
      (error: unknown) => {
        signal.throwIfAborted()
        if (limit.aborted) throw noEnd(timeoutSeconds, error)
        throw error
      },
    )
    if (answer.code === DEADLINE_EXCEEDED) throw noEnd(timeoutSeconds)
    if (answer.code === UNAVAILABLE) throw runtimeAway(answer.message)
    const result = answer.code === OK ? readMessage(answer.body) : undefined
    if (result === undefined)
      throw new CheckpointError(
        'CHECKPOINT_FAILED',
        `the container runtime failed to run it: ${answer.message}`,
      )
    return {
      exitCode: result.number(3) ?? 0,
      stdout: result.text(1) ?? '',
      stderr: result.text(2) ?? '',
    }
  }
}

const noEnd = (timeoutSeconds: number, cause?: unknown): CheckpointError =>
  new CheckpointError(
    'CHECKPOINT_FAILED',
    `it timed out after ${timeoutSeconds} s and was killed`,
    cause === undefined ? {} : {cause},
  )
