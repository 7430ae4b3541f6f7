import {createHash} from 'node:crypto'
import {z} from 'zod'
import {API_VERSION, CHECKPOINT_IMAGE_PREFIX} from '../../api/names.ts'
import {checkpointImage} from '../../checkpoint/archive/oci-image.ts'
import {objectName} from '../../api/object-names.ts'
import {widerThanPod} from '../../checkpoint/pod-privileges.ts'
import {restoreSchema, type CheckpointStatus} from '../../api/resources.ts'
import {openCheckpoint} from '../../checkpoint/sealed/open.ts'
import type {CheckpointMetadata} from '../../api/sealed-checkpoint.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {digestSchema} from '../../api/sealed-checkpoint.ts'
import {checkpointRef, parseCheckpoint} from './checkpoint-object.ts'
import type {Pod} from '../../kubernetes/pod.ts'
import {refuseUnlike} from './prepare.ts'
import {refuseBeyond} from './limits.ts'
import {refuseOther} from './same-image.ts'
import type {AgentTools} from './tools.ts'
import {writeStatusIf} from './write-status.ts'

/** By container, as a pod names them. */
export type ImagesByContainer = Readonly<Record<string, string>>

/** A store that is away for so long is told. */
const PATIENCE_MS = 60_000
/** Of the 255 letters of a repository the others take half. */
const MOST_OF_IMAGE = 100
const OUTAGES: readonly string[] = ['STORE_UNREACHABLE', 'KEY_UNREACHABLE']

type CheckpointName = {readonly namespace: string; readonly name: string}

/** Images that this node's runtime restores: of checkpoints, for backend CreateImage. They are memory in clear. */
export interface CheckpointImages {
  /**
   * One of each container of a checkpoint. What a runtime that restores at the creation would not ask is asked here:
   * whether the node is alike, and whether the processes may do more than the pod. `tell` writes down where they are
   * needed. Throws CheckpointError.
   */
  make(checkpoint: CheckpointName, tell: (images: ImagesByContainer) => Promise<void>): Promise<void>
  /** Removes those that neither these pods nor an unfinished Restore or Migration name. */
  removeUnused(pods: () => Iterable<Pod>): Promise<void>
}

/** Whether the agent of that node is to make images for a Restore. */
export function isForImages(object: KubeObject, node: string): boolean {
  const {status = {}} = restoreSchema.parse(object)
  const {backend, phase, images, missingImages} = status
  const waits = images !== undefined || missingImages !== undefined
  return backend === 'CreateImage' && phase === 'Preparing' && status.nodeName === node && !waits
}

/**
 * Makes an image of each container of the checkpoint of a Restore, and writes their references by digest into its
 * status; or which images of its containers have to be pulled before. What fails is told there too.
 */
export async function makeImages(
  object: KubeObject,
  tools: Pick<AgentTools, 'kube' | 'node' | 'now' | 'log' | 'signal'> & {
    readonly checkpointImages: CheckpointImages
  },
): Promise<void> {
  if (!isForImages(object, tools.node)) return
  const {metadata, spec, status} = restoreSchema.parse(object)
  const {namespace = '', name} = metadata
  const ref = {apiVersion: API_VERSION, kind: 'Restore', namespace, name}
  // One of the same name that was made meanwhile may be of another checkpoint.
  const isSame = (now: KubeObject): boolean =>
    now.metadata.uid === metadata.uid && isForImages(now, tools.node)
  try {
    await tools.checkpointImages.make({namespace, name: spec.checkpointName}, async (images) => {
      await writeStatusIf(ref, isSame, {images}, tools)
    })
  } catch (error) {
    if (error instanceof BaseImagesAbsent && status?.imagesPulled !== true) {
      await writeStatusIf(ref, isSame, {missingImages: error.images, message: error.message}, tools)
      return
    }
    if (!(error instanceof CheckpointError)) throw error
    // An agent that is started anew is away for some seconds, with its disk.
    const waitedMs = tools.now() - Date.parse(status?.startTime ?? '')
    if (OUTAGES.includes(error.code) && waitedMs < PATIENCE_MS) throw error
    tools.log('warn', 'could not create images of a checkpoint', {
      restore: name,
      namespace,
      error: error.message,
    })
    await writeStatusIf(ref, isSame, {phase: 'Failed', reason: error.code, message: error.message}, tools)
  }
}

/** containerd would pull them itself, but without anybody's credentials. */
class BaseImagesAbsent extends CheckpointError {
  readonly images: readonly string[]
  constructor(images: readonly string[], node: string) {
    super('IMAGE_UNAVAILABLE', `${node} does not have ${images.join(', ')}`)
    this.images = images
  }
}

type Tools = Pick<
  AgentTools,
  | 'kube'
  | 'ciphers'
  | 'stores'
  | 'nodeFeatures'
  | 'limits'
  | 'node'
  | 'signal'
  | 'log'
  | 'importImage'
  | 'removeImage'
  | 'listImages'
  | 'imageDigests'
>

export function checkpointImages(tools: Tools): CheckpointImages {
  const {removeImage, listImages, signal, log} = tools
  let last: Promise<unknown> = Promise.resolve()
  let removal: Promise<void> | undefined
  // What is made and not told yet must not be found unused.
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = last.then(work, work)
    last = turn.catch(() => undefined)
    return turn
  }
  const remove = async (pods: () => Iterable<Pod>): Promise<void> => {
    const there = (await listImages(signal)).filter((image) => image.startsWith(CHECKPOINT_IMAGE_PREFIX))
    if (there.length === 0) return
    const ofPods = [...pods()].flatMap(({spec}) => spec.containers.map(({image}) => image))
    const used = new Set([...ofPods, ...(await namedImages(tools))])
    for (const image of there.filter((name) => !used.has(name))) {
      await removeImage(image, signal)
      log('info', 'deleted an image of a checkpoint', {image})
    }
  }
  return {
    make: (checkpoint, tell) =>
      inTurn(async () => {
        await tell(await imagesOf(checkpoint, tools))
      }),
    // One that has not begun yet sees all that is to be seen.
    removeUnused: (pods) =>
      (removal ??= inTurn(() => {
        removal = undefined
        return remove(pods)
      })),
  }
}

/** Images that pods are still to be made with. */
async function namedImages({kube}: Tools): Promise<readonly string[]> {
  const kinds = ['Restore', 'Migration']
  const lists = await Promise.all(kinds.map((kind) => kube.list({apiVersion: API_VERSION, kind})))
  return lists
    .flat()
    .map((object) => namesImagesSchema.safeParse(object['status'] ?? {}).data)
    .filter((status) => status !== undefined)
    .filter(({phase = ''}) => !['Failed', 'Restored', 'Succeeded', 'RolledBack'].includes(phase))
    .flatMap(({images = {}}) => Object.values(images))
}

const namesImagesSchema = z.looseObject({
  phase: z.string().optional(),
  images: z.record(z.string(), z.string()).optional(),
})

async function sha256Of(content: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256')
  for await (const part of content) hash.update(part)
  return hash.digest('hex')
}

const repositoryOf = ({namespace, name}: CheckpointName, container: string): string =>
  `${CHECKPOINT_IMAGE_PREFIX}${namespace}/${objectName([name], MOST_OF_IMAGE)}/${container}`

async function imagesOf(checkpoint: CheckpointName, tools: Tools): Promise<ImagesByContainer> {
  const {kube, stores, ciphers, signal, importImage} = tools
  const object = await kube.get(checkpointRef(checkpoint))
  const {spec, status = {}} = object === undefined ? fail(checkpoint) : parseCheckpoint(object)
  const digest = digestSchema.safeParse(status.digest).data
  if (status.phase !== 'Ready' || digest === undefined) return fail(checkpoint)
  const {blobs, keys} = await stores.open(spec.storeName, {fromNode: status.nodeName, signal})
  const opened = await openCheckpoint({
    store: blobs,
    digest,
    keys: keys.wrappers,
    trust: keys.trust,
    ciphers,
    signal,
  })
  await refuse(checkpoint, opened.metadata, status, tools)
  const images: Record<string, string> = {}
  for (const {name, archiveBytes, archiveSha256} of opened.metadata.containers) {
    const archive = () => opened.archive(name)
    const repository = repositoryOf(checkpoint, name)
    const image = checkpointImage({
      reference: `${repository}:latest`,
      container: name,
      arch: opened.metadata.source.arch,
      archive,
      archiveBytes,
      // Of an image it comes first: the archive is read twice.
      archiveSha256: archiveSha256 ?? (await sha256Of(opened.archive(name, {transient: true}))),
    })
    await importImage({repository, digest: image.digest}, image.content(), signal)
    images[name] = `${repository}@${image.digest}`
  }
  return images
}

/** Throws CheckpointError CHECKPOINT_UNKNOWN, NODE_UNLIKE, PRIVILEGES_WIDER, IMAGE_UNAVAILABLE. */
async function refuse(
  {namespace, name}: CheckpointName,
  metadata: CheckpointMetadata,
  {podTemplate}: CheckpointStatus,
  tools: Tools,
): Promise<void> {
  if (metadata.namespace !== namespace)
    throw new CheckpointError(
      'CHECKPOINT_UNKNOWN',
      `checkpoint ${name} was created in namespace ${metadata.namespace}, not in ${namespace}`,
    )
  refuseUnlike(metadata.source, await tools.nodeFeatures())
  const limits = await tools.limits.own()
  for (const dumped of metadata.containers) {
    const {name: container, privileges} = dumped
    refuseBeyond(dumped, limits)
    // The status, since that is what the pod is made from.
    const wider = widerThanPod(privileges, podTemplate?.spec, container)
    if (wider.length > 0)
      throw new CheckpointError(
        'PRIVILEGES_WIDER',
        `the processes in the checkpoint have privileges that container ${container} does not have: ${wider.join('; ')}`,
      )
  }
  const absent = new Set<string>()
  for (const {image, imageDigest} of metadata.containers) {
    const digests = await tools.imageDigests(image)
    if (digests.length === 0) absent.add(image)
    else refuseOther(image, digests, imageDigest, tools.node)
  }
  if (absent.size > 0) throw new BaseImagesAbsent([...absent], tools.node)
}

function fail({namespace, name}: CheckpointName): never {
  throw new CheckpointError('CHECKPOINT_UNKNOWN', `checkpoint ${namespace}/${name} is not Ready`)
}
