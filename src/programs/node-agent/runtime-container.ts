import {z} from 'zod'
import {delimitedField as field, numberField, readMessage} from '../../checkpoint/archive/protobuf.ts'
import {isTransient} from '../../base/errors.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import type {DumpTarget} from './container-checkpoint.ts'
import {criCall, NOT_FOUND, OK, runtimeAway, UNAVAILABLE} from './cri-call.ts'

const TIMEOUT_MS = 30_000
/** https://github.com/kubernetes/cri-api/blob/master/pkg/apis/runtime/v1/api.proto: ContainerState. */
const RUNNING = 1

/** What a runtime says of a container, as files of an archive that it would make of it: their names and texts. */
export type ContainerFacts = Readonly<Record<'config.dump' | 'spec.dump' | 'status.dump', string>>

/** What containerd tells besides, as JSON. */
const infoSchema = z.looseObject({runtimeSpec: z.looseObject({})})

/**
 * What the runtime says of a running container, which has to be the one that is meant. Throws CheckpointError
 * CHECKPOINT_FAILED, KubernetesError API_UNREACHABLE when the runtime is away: nothing was begun.
 */
export async function readContainer(
  socket: string,
  target: DumpTarget,
  signal: AbortSignal,
): Promise<ContainerFacts> {
  const {namespace, pod, podUid, container, containerId} = target
  const limit = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)])
  const request = Buffer.concat([field(1, containerId), numberField(2, 1)])
  const {code, message, body} = await criCall(socket, 'ContainerStatus', request, limit).catch(
    (error: unknown) => {
      signal.throwIfAborted()
      throw isTransient(error) ? error : runtimeAway(String(error))
    },
  )
  if (code === UNAVAILABLE) throw runtimeAway(message)
  if (code !== OK && code !== NOT_FOUND)
    throw failed(target, `the container runtime failed to read its status: ${message}`)
  const answer = code === OK ? readMessage(body) : undefined
  const status = answer?.message(1)
  const labels = textsOf(status?.messages(12))
  const owner = {
    'io.kubernetes.pod.namespace': namespace,
    'io.kubernetes.pod.name': pod,
    'io.kubernetes.pod.uid': podUid,
    'io.kubernetes.container.name': container,
  }
  if (status === undefined || Object.entries(owner).some(([label, value]) => labels.get(label) !== value))
    throw failed(target, `container ${containerId} no longer exists on this node`)
  if (status.number(3) !== RUNNING) throw failed(target, `container ${containerId} is no longer running`)
  const image = status.message(8)?.text(1)
  const imageRef = status.text(9)
  const info = infoOf(textsOf(answer?.messages(2)).get('info'))
  if (image === undefined || imageRef === undefined || info === undefined)
    throw failed(target, `the container runtime did not report the image or the spec of ${containerId}`)
  return {
    'config.dump': JSON.stringify({
      id: containerId,
      name: container,
      rootfsImageName: image,
      rootfsImageRef: imageRef,
      checkpointedTime: new Date().toISOString(),
    }),
    'spec.dump': JSON.stringify(info.runtimeSpec),
    // A runtime that restores an image of it takes the labels and annotations from here: without that of the kubelet's
    // hash, the kubelet starts the container anew.
    'status.dump': JSON.stringify({
      id: containerId,
      metadata: {name: container},
      state: RUNNING,
      image: {image, user_specified_image: status.message(8)?.text(18) ?? image},
      image_ref: imageRef,
      labels: Object.fromEntries(labels),
      annotations: Object.fromEntries(textsOf(status.messages(13))),
    }),
  }
}

/** A map of texts. */
const textsOf = (
  entries: readonly {text(field: number): string | undefined}[] = [],
): ReadonlyMap<string, string> => new Map(entries.map((entry) => [entry.text(1) ?? '', entry.text(2) ?? '']))

function infoOf(text: string | undefined): z.output<typeof infoSchema> | undefined {
  try {
    return infoSchema.safeParse(JSON.parse(text ?? '')).data
  } catch {
    return undefined
  }
}

const failed = ({namespace, pod, container}: DumpTarget, why: string): CheckpointError =>
  new CheckpointError('CHECKPOINT_FAILED', `${namespace}/${pod}/${container} was not checkpointed: ${why}`)
