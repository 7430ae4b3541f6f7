import {errorMessage} from '../../base/errors.ts'
import {refuseOther} from './same-image.ts'
import {readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {ociSpecSchema, type OciSpec} from '../../checkpoint/archive/oci-spec.ts'
import {privilegesOf, widerThan} from '../../checkpoint/archive/privileges.ts'
import type {RestoreAnswer, RestoreRequest} from '../../api/handler-protocol.ts'
import {RESTORE_ANNOTATION} from '../../api/names.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {KubernetesError} from '../../kubernetes/errors.ts'
import {lowerLimits} from './limits.ts'
import {
  containerIdOf,
  parsePod,
  podNamespacesSchema,
  podRef,
  statusOf,
  type Pod,
} from '../../kubernetes/pod.ts'
import {lazyPages, refuseLost} from './lazy/lazy-restore.ts'
import {awaitMove} from './move-gate.ts'
import type {PreparedContainer, Preparations} from './prepare.ts'
import {restoredVolumes} from './restored-volumes.ts'
import type {AgentTools} from './tools.ts'

/** Names under which an image is known on this node that mean the same one: digests of its manifest and its config. */
export type ImageDigests = (image: string) => Promise<readonly string[]>

export interface AnswerTools extends Pick<
  AgentTools,
  'kube' | 'node' | 'cgroups' | 'incomingPages' | 'limits' | 'now' | 'signal' | 'log'
> {
  readonly preparations: Preparations
  readonly imageDigests: ImageDigests
}

/** Decides what becomes of a container whose pod names a checkpoint. Whatever is not clear is refused. */
export async function answerRestore(request: RestoreRequest, tools: AnswerTools): Promise<RestoreAnswer> {
  const {log} = tools
  const {id, namespace, pod, container, checkpoint} = request
  const about = {id, namespace, pod, container, checkpoint}
  try {
    const answer = await decide(request, tools)
    log('info', `responded to the restore handler: ${answer.action}`, about)
    return answer
  } catch (error) {
    const message = errorMessage(error)
    const isOurs = error instanceof CheckpointError || error instanceof KubernetesError
    const code = isOurs ? `${error.code}: ` : ''
    log('warn', 'refused a restore', {...about, error: message})
    return {version: 1, action: 'refuse', message: `${code}${message}`}
  }
}

async function decide(request: RestoreRequest, tools: AnswerTools): Promise<RestoreAnswer> {
  const {kube, preparations} = tools
  const {namespace, container, podUid} = request
  const object = await kube.get(podRef(namespace, request.pod))
  const pod = object === undefined ? undefined : parsePod(object)
  if (pod?.metadata.uid !== podUid || pod.spec.nodeName !== tools.node)
    throw new CheckpointError(
      'RESTORE_FAILED',
      `pod ${namespace}/${request.pod} with uid ${podUid} is not on this node`,
    )
  if (pod.metadata.annotations[RESTORE_ANNOTATION] !== request.checkpoint)
    throw new CheckpointError(
      'RESTORE_FAILED',
      `pod ${namespace}/${request.pod} is not annotated with checkpoint ${request.checkpoint}`,
    )
  await refuseLost(podUid, container, preparations)
  if (await hasRun(pod, request, tools)) await preparations.noteRestored(podUid, container)
  if (!(await preparations.isRestored(podUid, container))) await awaitMove(pod, request.checkpoint, tools)
  const image = pod.spec.containers.find(({name}) => name === container)?.image
  // Init containers are not dumped: they run again, whether the checkpoint is still there or not.
  if (image === undefined) return {version: 1, action: 'create'}
  // Asked meanwhile; heeded only where there is something to compare.
  const digests = tools.imageDigests(image)
  digests.catch(() => undefined)
  const prepared = await preparations.prepare(pod, container)
  // It was restored before, or is none of those that were dumped.
  if (prepared === undefined) return {version: 1, action: 'create'}
  const {bundle} = request
  const spec = ociSpecSchema.parse(JSON.parse(await readFile(join(bundle, 'config.json'), 'utf8')))
  compare(pod, {container, spec}, prepared, {name: image, digests: await digests})
  await lowerLimits({imageDir: prepared.imageDir, container, bundle, spec}, tools.limits)
  // The volumes are with one of those that are still to be restored.
  const left = [prepared]
  for (const {name} of pod.spec.containers) {
    const other = name === container ? undefined : await preparations.prepare(pod, name)
    if (other !== undefined) left.push(other)
  }
  const volumes = await restoredVolumes(pod, left, spec, preparations)
  // The last step: from then on the source is not to be thawed.
  const pages = await lazyPages(pod, request, tools)
  await preparations.noteRequested(podUid, container, request.id)
  return {
    version: 1,
    action: 'restore',
    imageDir: prepared.imageDir,
    workDir: preparations.workDir(podUid, container),
    ...(prepared.changes === undefined ? {} : {changes: prepared.changes}),
    deleted: prepared.deleted,
    ...(volumes.length === 0 ? {} : {volumes}),
    ...(pages === undefined ? {} : {pages}),
  }
}

/**
 * Whether an earlier container of this name in this pod, for which `restore` was answered, came to run. Throws
 * CheckpointError RESTORE_FAILED as long as it cannot be told: to begin anew what never ran would lose its memory.
 */
async function hasRun(
  pod: Pod,
  {container, podUid, id}: RestoreRequest,
  {preparations, cgroups}: AnswerTools,
): Promise<boolean> {
  const earlier = await preparations.asked(podUid, container)
  if (earlier === undefined || earlier === id) return false
  if (ranAs(pod, container, earlier)) return true
  if ((await cgroups.find(podUid, earlier)) !== undefined)
    throw new CheckpointError(
      'RESTORE_FAILED',
      `the previous attempt, container ${earlier}, has not ended yet`,
    )
  return false
}

/** Whether the pod's status tells that the container with this id runs or ran; one that could not be started did not. */
export function ranAs(pod: Pod, container: string, id: string): boolean {
  const status = statusOf(pod, container)
  if (containerIdOf(status) === id && status?.state?.running !== undefined) return true
  return [status?.state?.terminated, status?.lastState?.terminated].some(
    (ended) => ended?.containerID?.endsWith(id) === true && ended.reason !== 'StartError',
  )
}

/** Throws CheckpointError PRIVILEGES_WIDER, IMAGE_UNAVAILABLE. */
function compare(
  pod: Pod,
  {container, spec}: {readonly container: string; readonly spec: OciSpec},
  prepared: Pick<PreparedContainer, 'privileges' | 'imageDigest'>,
  image: {readonly name: string; readonly digests: readonly string[]},
): void {
  const wider = widerThan(prepared.privileges, privilegesOf(spec, podNamespacesSchema.parse(pod.spec)))
  if (wider.length > 0) {
    throw new CheckpointError(
      'PRIVILEGES_WIDER',
      `the processes in the checkpoint have privileges that container ${container} does not have: ${wider.join('; ')}`,
    )
  }
  const {name, digests} = image
  refuseOther(name, digests, prepared.imageDigest, 'this node')
}
