import {delimitedField as field, readMessage, type Message} from '../../checkpoint/archive/protobuf.ts'
import {isTransient} from '../../base/errors.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {criCall, OK, runtimeAway, UNAVAILABLE} from './cri-call.ts'

/** As long as the processes may be held: CRIU writes some hundred megabytes in a second, and containerd copies them. */
const DUMP_TIMEOUT_MS = 10 * 60_000
const LIST_TIMEOUT_MS = 30_000
/** https://github.com/kubernetes/cri-api/blob/master/pkg/apis/runtime/v1/api.proto: ContainerState. */
const RUNNING = 1

/** A container, and whose it has to be: ids are given anew, names too. */
export interface DumpTarget {
  readonly namespace: string
  readonly pod: string
  readonly podUid: string
  readonly container: string
  readonly containerId: string
}

/**
 * Checkpoints a running container of this node, which goes on afterwards, into a file that is not there yet. When the
 * signal is aborted the runtime ends the dump; what it had of the file may stay. Throws CheckpointError
 * CHECKPOINT_FAILED with what the runtime said, KubernetesError API_UNREACHABLE when the runtime is away and nothing was
 * begun.
 */
export type ContainerCheckpoint = (target: DumpTarget, path: string, signal: AbortSignal) => Promise<void>

/** The container runtime behind a socket, by its CRI: what a kubelet would have a container checkpointed by. */
export function criCheckpoint(
  socket: string,
  {timeoutMs = DUMP_TIMEOUT_MS}: {readonly timeoutMs?: number} = {},
): ContainerCheckpoint {
  return async (target, path, signal) => {
    const {containerId} = target
    await expectRunning(socket, target, signal)
    const limit = AbortSignal.timeout(timeoutMs)
    const request = Buffer.concat([field(1, containerId), field(2, path)])
    const {code, message} = await criCall(
      socket,
      'CheckpointContainer',
      request,
      AbortSignal.any([signal, limit]),
    ).catch((error: unknown) => {
      signal.throwIfAborted()
      if (limit.aborted) throw failed(target, `timed out after ${timeoutMs / 1000} s`, error)
      throw error
    })
    if (code !== OK) throw failed(target, message)
  }
}

/** Whether the container is the one that was meant, by what the kubelet had it labelled with. */
async function expectRunning(socket: string, target: DumpTarget, signal: AbortSignal): Promise<void> {
  const {namespace, pod, podUid, container, containerId} = target
  const found = await containerOf(socket, containerId, signal)
  const labels = new Map(found?.messages(8).map((entry) => [entry.text(1), entry.text(2)]))
  const owner = {
    'io.kubernetes.pod.namespace': namespace,
    'io.kubernetes.pod.name': pod,
    'io.kubernetes.pod.uid': podUid,
    'io.kubernetes.container.name': container,
  }
  if (found === undefined || Object.entries(owner).some(([label, value]) => labels.get(label) !== value))
    throw failed(target, `container ${containerId} no longer exists on this node`)
  if (found.number(6) !== RUNNING) throw failed(target, `container ${containerId} is no longer running`)
}

async function containerOf(socket: string, id: string, signal: AbortSignal): Promise<Message | undefined> {
  const request = field(1, field(1, id))
  const limit = AbortSignal.any([signal, AbortSignal.timeout(LIST_TIMEOUT_MS)])
  const {code, message, body} = await criCall(socket, 'ListContainers', request, limit).catch(
    (error: unknown) => {
      signal.throwIfAborted()
      // Whatever became of the question: nothing was begun.
      throw isTransient(error) ? error : runtimeAway(String(error))
    },
  )
  if (code === UNAVAILABLE) throw runtimeAway(message)
  if (code !== OK)
    throw new CheckpointError(
      'CHECKPOINT_FAILED',
      `the container runtime failed to list containers: ${message}`,
    )
  return readMessage(body)
    ?.messages(1)
    .find((one) => one.text(1) === id)
}

const failed = ({namespace, pod, container}: DumpTarget, why: string, cause?: unknown): CheckpointError =>
  new CheckpointError(
    'CHECKPOINT_FAILED',
    `the container runtime failed to checkpoint ${namespace}/${pod}/${container}: ${why}`,
    cause === undefined ? {} : {cause},
  )
