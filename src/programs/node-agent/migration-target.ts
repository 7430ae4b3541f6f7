import {API_VERSION, RESTORE_DIR} from '../../api/names.ts'
import {migrationSchema} from '../../api/resources.ts'
import {originalPod} from '../../checkpoint/pod-template.ts'
import {unlike} from '../../checkpoint/likeness.ts'
import {openCheckpoint} from '../../checkpoint/sealed/open.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {connectPages} from './lazy/lazy-restore.ts'
import type {ImageDigests} from './restore-decision.ts'
import {digestSchema} from '../../api/sealed-checkpoint.ts'
import type {CheckpointImages} from './create-image.ts'
import {refuseBeyond} from './limits.ts'
import {refuseOther} from './same-image.ts'
import {checkpointRef, parseCheckpoint, type Named} from './checkpoint-object.ts'
import {dumpedHere, factsOf} from './prepare-dumped.ts'
import {parsePod, podRef} from '../../kubernetes/pod.ts'
import type {AgentTools} from './tools.ts'
import {writeStatusIf} from './write-status.ts'

export interface AdmitTools extends Pick<
  AgentTools,
  | 'kube'
  | 'stores'
  | 'nodeFeatures'
  | 'freeBytes'
  | 'limits'
  | 'node'
  | 'now'
  | 'signal'
  | 'log'
  | 'archives'
  | 'incoming'
  | 'incomingPages'
  | 'inspect'
  | 'openPages'
  | 'pulls'
> {
  readonly imageDigests: ImageDigests
  readonly checkpointImages: CheckpointImages
}

/** Whether a Migration waits for the agent of that node to say that it can take the pod. */
export function isToAdmit(object: KubeObject, node: string): boolean {
  const {status = {}} = migrationSchema.parse(object)
  const {phase, targetNodeName, targetAnswer} = status
  return phase === 'Preparing' && targetNodeName === node && targetAnswer === undefined
}

/** Whether a Migration waits for the agent of that node to say which images the pod would lack there. */
export function isToReportImages(object: KubeObject, node: string): boolean {
  const {phase, targetNodeName, missingImages} = migrationSchema.parse(object).status ?? {}
  return phase === 'Pending' && targetNodeName === node && missingImages === undefined
}

/** Tells, before a pod stands still, which of its images are not here, so that they are fetched while it runs. */
export async function reportMissingImages(
  object: KubeObject,
  {
    kube,
    node,
    now,
    imageDigests,
    signal,
  }: Pick<AdmitTools, 'kube' | 'node' | 'now' | 'imageDigests' | 'signal'>,
): Promise<void> {
  if (!isToReportImages(object, node)) return
  const {metadata, spec} = migrationSchema.parse(object)
  const {name, namespace = ''} = metadata
  const found = await kube.get(podRef(namespace, spec.podName))
  // One made of a checkpoint is in no registry; the pod is made with what it had before that.
  const containers = found === undefined ? [] : originalPod(parsePod(found)).spec.containers
  const images = new Set(containers.map(({image}) => image))
  const missingImages: string[] = []
  for (const image of images) if ((await imageDigests(image)).length === 0) missingImages.push(image)
  const isSame = (now: KubeObject): boolean =>
    now.metadata.uid === metadata.uid && isToReportImages(now, node)
  const ref = {apiVersion: API_VERSION, kind: 'Migration', namespace, name}
  await writeStatusIf(ref, isSame, {missingImages}, {kube, now, signal})
}

/**
 * Tells, before the source is ended, whether a pod can go on here: its checkpoint is reached and opened, its CPU and its
 * images are like those here, and it has room. What only the container itself shows is decided when it is created.
 */
export async function admitMove(object: KubeObject, tools: AdmitTools): Promise<void> {
  if (!isToAdmit(object, tools.node)) return
  const {metadata, spec, status} = migrationSchema.parse(object)
  const {name, namespace = ''} = metadata
  const checkpoint = {namespace, name: status?.checkpointName ?? ''}
  const ref = {apiVersion: API_VERSION, kind: 'Migration', namespace, name}
  const isSame = (now: KubeObject): boolean => now.metadata.uid === metadata.uid && isToAdmit(now, tools.node)
  try {
    const targetAnswer = {ok: true, message: `${tools.node} can run the pod`}
    if (spec.backend === 'CreateImage') {
      await tools.checkpointImages.make(checkpoint, async (images) => {
        await writeStatusIf(ref, isSame, {images, targetAnswer}, tools)
      })
    } else {
      await canTake(checkpoint, tools)
      if (spec.memoryPolicy === 'Lazy') await connectLazily(object, checkpoint, tools)
      await writeStatusIf(ref, isSame, {targetAnswer}, tools)
    }
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error
    const {code, message} = error
    tools.log('warn', 'this node cannot run a pod', {migration: name, namespace, error: message})
    await writeStatusIf(ref, isSame, {targetAnswer: {ok: false, reason: code, message}}, tools)
  }
}

/** The page server of the source answers, before the source is given up. */
async function connectLazily(
  object: KubeObject,
  name: {namespace: string; name: string},
  tools: AdmitTools,
): Promise<void> {
  const found = await tools.kube.get(checkpointRef(name))
  if (found !== undefined) await connectPages(migrationSchema.parse(object), parseCheckpoint(found), tools)
}

async function canTake(name: {namespace: string; name: string}, tools: AdmitTools): Promise<void> {
  const {kube, stores, signal} = tools
  const object = await kube.get(checkpointRef(name))
  const checkpoint = object === undefined ? undefined : parseCheckpoint(object)
  const {spec, status = {}} = checkpoint ?? {}
  if (checkpoint?.status?.phase === 'Dumped') return canTakeDumped(checkpoint, tools)
  const digest = digestSchema.safeParse(status.digest).data
  if (spec === undefined || status.phase !== 'Ready' || digest === undefined)
    throw new CheckpointError('CHECKPOINT_UNKNOWN', `checkpoint ${name.namespace}/${name.name} is not Ready`)
  const {blobs, keys} = await stores.open(spec.storeName, {fromNode: status.nodeName, signal})
  const images = [...new Set((status.containers ?? []).map(({image}) => image))]
  const [{metadata}, here, freeBytes, limits, ...found] = await Promise.all([
    openCheckpoint({store: blobs, digest, keys: keys.wrappers, trust: keys.trust, signal}),
    tools.nodeFeatures(),
    tools.freeBytes(),
    tools.limits.own(),
    ...images.map((image) => tools.imageDigests(image)),
  ])
  // What is unpacked, and the files that the container had changed once more, in its own file system.
  const changed = (status.summary?.containers ?? []).map(({filesBytes = 0}) => filesBytes)
  const wanted = [...metadata.containers.map(({archiveBytes}) => archiveBytes), ...changed]
  const wantedBytes = wanted.reduce((sum, bytes) => sum + bytes, 0)
  if (wantedBytes > freeBytes)
    throw new CheckpointError(
      'RESTORE_IMPOSSIBLE',
      `${tools.node} has ${freeBytes} bytes free in ${RESTORE_DIR}, but the checkpoint needs ${wantedBytes}`,
    )
  const digestsOf = new Map(images.map((image, index) => [image, found[index] ?? []]))
  const why = unlike(metadata.source, here)
  if (why !== undefined) throw new CheckpointError('NODE_UNLIKE', `${tools.node} cannot run the pod: ${why}`)
  for (const container of metadata.containers) {
    const {image, imageDigest} = container
    refuseBeyond(container, limits)
    const digests = digestsOf.get(image) ?? (await tools.imageDigests(image))
    refuseOther(image, digests, imageDigest, tools.node)
  }
}

/** The same of a dump that was sent to this node, which reads it itself. */
async function canTakeDumped(checkpoint: Named, tools: AdmitTools): Promise<void> {
  const {status = {}} = checkpoint
  const found = await dumpedHere(checkpoint, tools)
  const [here, freeBytes, limits] = await Promise.all([
    tools.nodeFeatures(),
    tools.freeBytes(),
    tools.limits.own(),
  ])
  const why = status.nodeFeatures === undefined ? undefined : unlike(status.nodeFeatures, here)
  if (why !== undefined) throw new CheckpointError('NODE_UNLIKE', `${tools.node} cannot run the pod: ${why}`)
  let filesBytes = 0
  for (const dumped of found) {
    const {name} = dumped
    const facts = await factsOf(dumped, checkpoint, tools)
    const {image} = status.containers?.find((one) => one.name === name) ?? {image: ''}
    refuseBeyond({name, ...facts}, limits)
    refuseOther(image, await tools.imageDigests(image), facts.imageDigest, tools.node)
    filesBytes += facts.summary.filesBytes ?? 0
  }
  // The files that the containers had changed get a place in their own file systems too.
  if (filesBytes > freeBytes)
    throw new CheckpointError(
      'RESTORE_IMPOSSIBLE',
      `${tools.node} has ${freeBytes} bytes free in ${RESTORE_DIR}, but the changed files need ${filesBytes}`,
    )
}
