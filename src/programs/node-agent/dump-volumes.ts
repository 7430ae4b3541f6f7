import {mkdir} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {MOST_HOLE_BYTES} from '../../checkpoint/archive/obstacles.ts'
import {volumeMember} from '../../checkpoint/archive/volumes.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import type {Pod} from '../../kubernetes/pod.ts'
import type {AgentTools} from './tools.ts'
import {mib} from './upper-layer.ts'
import type {PodVolume} from './volumes.ts'

/** Volumes to be packed with a pod, and how much is in them. */
export interface VolumesToPack {
  readonly volumes: readonly PodVolume[]
  readonly sizeBytes: number
}

export const NO_VOLUMES: VolumesToPack = {volumes: [], sizeBytes: 0}

/**
 * The volumes whose contents go into a checkpoint, measured while the pod runs. A pod that keeps running is checkpointed
 * without them when they are too large; one that is to end is not. Throws CheckpointError TOO_LARGE.
 */
export async function volumesToPack(
  pod: Pod,
  containerIds: readonly string[],
  keepsRunning: boolean,
  {volumes, log}: Pick<AgentTools, 'volumes' | 'log'>,
): Promise<VolumesToPack> {
  const {limitBytes} = volumes
  if (limitBytes === 0) return NO_VOLUMES
  const found = await volumes.find(pod, containerIds)
  const sizes = await Promise.all(found.map((volume) => volumes.measure(volume)))
  const sizeBytes = sizes.reduce((sum, {fileBytes}) => sum + fileBytes, 0)
  const holeBytes = sizes.reduce((sum, size) => sum + size.holeBytes, 0)
  const about = {namespace: pod.metadata.namespace, pod: pod.metadata.name}
  for (const {unmeasured} of sizes)
    if (unmeasured !== undefined) log('warn', 'could not measure a volume', {...about, error: unmeasured})
  const why =
    sizeBytes > limitBytes
      ? `the emptyDir volumes and the shared memory of the pod have ${mib(sizeBytes)}; at most ${mib(limitBytes)} can be part of a checkpoint: use a PersistentVolumeClaim`
      : holeBytes > MOST_HOLE_BYTES
        ? `the sparse files in emptyDir volumes of the pod have ${mib(holeBytes)} of holes; at most ${mib(MOST_HOLE_BYTES)} can be checkpointed: use a PersistentVolumeClaim`
        : undefined
  if (why === undefined) return {volumes: found, sizeBytes}
  if (!keepsRunning) throw new CheckpointError('TOO_LARGE', why)
  log('warn', 'left volumes out of a checkpoint', {...about, error: why})
  return NO_VOLUMES
}

/** Packs volumes into the folder of a container's dump, while nothing of the pod runs. */
export async function packVolumes(
  {volumes}: VolumesToPack,
  folder: string,
  tools: Pick<AgentTools, 'volumes'>,
  signal: AbortSignal,
): Promise<void> {
  for (const volume of volumes) {
    const path = join(folder, volumeMember(volume.name))
    await mkdir(dirname(path), {recursive: true, mode: 0o700})
    await tools.volumes.pack(volume, path, signal)
  }
}
