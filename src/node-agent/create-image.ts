import {API_VERSION, CHECKPOINT_IMAGE_PREFIX} from '../checkpoint/names.ts'
import {checkpointImage} from '../checkpoint/archive/oci-image.ts'
import {restoreSchema} from '../checkpoint/resources.ts'
import {openCheckpoint} from '../checkpoint/sealed/open.ts'
import {CheckpointError} from '../errors.ts'
import type {KubeObject} from '../kubernetes/types.ts'
import {digestSchema} from '../checkpoint/sealed/types.ts'
import {checkpointRef, parseCheckpoint} from './named.ts'
import type {AgentTools} from './tools.ts'

/** Takes an OCI layout, as a tar, into the images of the node's runtime, as `<repository>@<digest>`. */
export type ImageImport = (
  image: {readonly repository: string; readonly digest: string},
  layout: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
) => Promise<void>

/** Whether the agent of that node is to make images for a Restore. */
export function isForImages(object: KubeObject, node: string): boolean {
  const {status = {}} = restoreSchema.parse(object)
  const {backend, phase, images} = status
  return backend === 'create-image' && phase === 'Preparing' && status.node === node && images === undefined
}

/**
 * Backend create-image: makes an image of each container of a checkpoint on the node that a Restore is to run on, and
 * writes their references by digest into its status. What fails is told there too.
 */
export async function makeImages(
  object: KubeObject,
  tools: Pick<AgentTools, 'kube' | 'stores' | 'node' | 'signal' | 'log'> & {
    readonly importImage: ImageImport
  },
): Promise<void> {
  if (!isForImages(object, tools.node)) return
  const {metadata, spec} = restoreSchema.parse(object)
  const {namespace = '', name} = metadata
  const ref = {apiVersion: API_VERSION, kind: 'Restore', namespace, name}
  try {
    const images = await imagesOf({namespace, name: spec.checkpoint}, tools)
    await tools.kube.patchStatus(ref, {images})
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error
    tools.log('warn', 'images could not be made', {restore: name, namespace, error: error.message})
    await tools.kube.patchStatus(ref, {phase: 'Failed', reason: error.code, message: error.message})
  }
}

async function imagesOf(
  checkpoint: {readonly namespace: string; readonly name: string},
  {kube, stores, signal, importImage}: Parameters<typeof makeImages>[1],
): Promise<Record<string, string>> {
  const object = await kube.get(checkpointRef(checkpoint))
  const {spec, status = {}} = object === undefined ? fail(checkpoint) : parseCheckpoint(object)
  const digest = digestSchema.safeParse(status.digest).data
  if (status.phase !== 'Ready' || digest === undefined) return fail(checkpoint)
  const {blobs, keys} = await stores.open(spec.store, {fromNode: status.node, signal})
  const opened = await openCheckpoint({store: blobs, digest, keys: keys.wrappers, trust: keys.trust, signal})
  const images: Record<string, string> = {}
  for (const {name, archiveBytes, archiveSha256} of opened.metadata.containers) {
    const repository = `${CHECKPOINT_IMAGE_PREFIX}${checkpoint.namespace}/${checkpoint.name}/${name}`
    const image = checkpointImage({
      reference: `${repository}:latest`,
      container: name,
      arch: opened.metadata.source.arch,
      archive: () => opened.archive(name),
      archiveBytes,
      archiveSha256,
    })
    await importImage({repository, digest: image.digest}, image.content(), signal)
    images[name] = `${repository}@${image.digest}`
  }
  return images
}

function fail({namespace, name}: {readonly namespace: string; readonly name: string}): never {
  throw new CheckpointError('CHECKPOINT_UNKNOWN', `checkpoint ${namespace}/${name} is not Ready`)
}
