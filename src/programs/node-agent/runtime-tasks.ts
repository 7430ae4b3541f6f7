import {delimitedField as field} from '../../checkpoint/archive/protobuf.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {NOT_FOUND, OK, runtimeAway, runtimeCall, TASKS, UNAVAILABLE} from './cri-call.ts'

const TIMEOUT_MS = 30_000
/** As long as the processes may be held: CRIU writes some hundred megabytes in a second. */
const DUMP_TIMEOUT_MS = 10 * 60_000

/**
 * Containers of pods as the runtime itself runs them, below its CRI. Throws CheckpointError CHECKPOINT_FAILED with what
 * the runtime said, KubernetesError API_UNREACHABLE when it is away and nothing was begun.
 */
export interface RuntimeTasks {
  /** Whether the runtime has such a service. */
  isServed(signal: AbortSignal): Promise<boolean>
  pause(containerId: string, signal: AbortSignal): Promise<void>
  /** The container stays paused. */
  checkpoint(
    containerId: string,
    folders: {
      /** Where CRIU writes its images. */
      readonly images: string
      /** Where CRIU writes its log. */
      readonly work: string
    },
    signal: AbortSignal,
  ): Promise<void>
  resume(containerId: string, signal: AbortSignal): Promise<void>
}

/** The services of containerd behind its socket. */
export function containerdTasks(
  socket: string,
  {dumpTimeoutMs = DUMP_TIMEOUT_MS}: {readonly dumpTimeoutMs?: number} = {},
): RuntimeTasks {
  const call = async (
    method: string,
    message: Uint8Array,
    signal: AbortSignal,
    timeoutMs = TIMEOUT_MS,
  ): Promise<void> => {
    const limit = AbortSignal.timeout(timeoutMs)
    const {code, message: words} = await runtimeCall(
      socket,
      TASKS,
      method,
      message,
      AbortSignal.any([signal, limit]),
    ).catch((error: unknown) => {
      signal.throwIfAborted()
      if (limit.aborted) throw failed(method, `timed out after ${timeoutMs / 1000} s`, error)
      throw error
    })
    if (code === UNAVAILABLE && method === 'Pause') throw runtimeAway(words)
    if (code !== OK) throw failed(method, words)
  }
  return {
    async isServed(signal) {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)])
      const {code, message} = await runtimeCall(socket, TASKS, 'Get', field(1, PROBE), limit)
      if (code === UNAVAILABLE) throw runtimeAway(message)
      return code === NOT_FOUND || code === OK
    },
    pause: (id, signal) => call('Pause', field(1, id), signal),
    checkpoint: (id, {images, work}, signal) =>
      call(
        'Checkpoint',
        Buffer.concat([field(1, id), field(3, anyOf(OPTIONS, [field(8, images), field(9, work)]))]),
        signal,
        dumpTimeoutMs,
      ),
    resume: (id, signal) => call('Resume', field(1, id), signal),
  }
}

/** No container has that id. */
const PROBE = 'clouder-probe'
/** https://github.com/containerd/containerd/blob/main/api/types/runc/options/oci.proto */
const OPTIONS = 'containerd.runc.v1.CheckpointOptions'

/** https://protobuf.dev/programming-guides/proto3/#any */
const anyOf = (type: string, fields: readonly Buffer[]): Buffer =>
  Buffer.concat([field(1, type), field(2, Buffer.concat(fields))])

const WHAT: Readonly<Record<string, string>> = {
  Pause: 'pause the container',
  Checkpoint: 'dump the container',
  Resume: 'resume the container',
}

const failed = (method: string, why: string, cause?: unknown): CheckpointError =>
  new CheckpointError(
    'CHECKPOINT_FAILED',
    `the container runtime failed to ${WHAT[method] ?? method}: ${why}`,
    cause === undefined ? {} : {cause},
  )
