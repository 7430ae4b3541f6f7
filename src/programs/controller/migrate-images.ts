import {fullImageName} from '../../checkpoint/image-name.ts'
import {nodeSchema, type Pod} from '../../kubernetes/pod.ts'
import {pullImages} from './checkpoint-images.ts'
import {finish, phaseMs, updateStatus, type MigrationAt} from './migration-state.ts'
import {ownSpec} from './restored-pod.ts'
import {timeText} from '../../base/time.ts'
import type {Requeue} from '../../operator/reconciler.ts'

/** The agent of the target says within so long what is not there; after it, what is missing is pulled when the pod is made. */
const LOOK_MS = 10_000
const PULL_AGAIN_MS = 1_000

/**
 * Has the target fetch the images of a pod that it lacks, while the pod still runs: fetched later, the pod would stand
 * still for as long as that takes. `done`: it has them, or nobody can say; otherwise when to call it again.
 */
export async function imagesFirst(pod: Pod, target: string, at: MigrationAt): Promise<'done' | Requeue> {
  const {migration, context} = at
  const {metadata, status = {}} = migration
  if (status.targetNodeName !== target) {
    if (listsImages(target, pod, at)) return 'done'
    const message = `checking which images ${target} lacks`
    const fields = {
      targetNodeName: target,
      missingImages: null,
      phaseStartTime: timeText(context.now()),
      message,
    }
    await updateStatus(at, {phase: 'Pending', ...fields})
    return {requeueAfterMs: LOOK_MS}
  }
  const {missingImages: images} = status
  if (images === undefined) {
    const leftMs = LOOK_MS - phaseMs(at)
    return leftMs > 0 ? {requeueAfterMs: leftMs} : 'done'
  }
  if (images.length === 0) return 'done'
  const {name, uid, namespace = 'default'} = metadata
  const owner = {kind: 'Migration', name, uid} as const
  const pulled = await pullImages({owner, namespace, node: target, images, spec: ownSpec(pod)}, context)
  if (pulled.state === 'pulled') return 'done'
  if (pulled.state === 'failed') return finish(at, 'Failed', 'IMAGE_UNAVAILABLE', pulled.why)
  await updateStatus(at, {message: `pulling ${images.join(', ')} on ${target}`})
  return {requeueAfterMs: PULL_AGAIN_MS}
}

/** Whether the node tells by itself that it has the images; it tells of the largest only, and some seconds late. */
function listsImages(target: string, pod: Pod, {context}: MigrationAt): boolean {
  const node = context.objects.get('Node', target)
  const images = node === undefined ? [] : (nodeSchema.parse(node).status.images ?? [])
  const listed = new Set(images.flatMap(({names}) => names ?? []))
  return pod.spec.containers.every(({image}) => listed.has(fullImageName(image)))
}
