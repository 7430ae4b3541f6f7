import {readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {z} from 'zod'
import {unlessMissing} from '../../base/system-errors.ts'
import {packedEmptyDir, type PackedVolume} from '../../checkpoint/archive/volumes.ts'
import type {Pod} from '../../kubernetes/pod.ts'
import {measureFiles, type FileSize} from './upper-layer.ts'

/** A volume that exists for one pod alone and goes with it, and where the node has it. */
export interface PodVolume {
  readonly name: PackedVolume
  readonly path: string
}

/** Volumes of the node's pods whose contents become part of a checkpoint. */
export interface PodVolumes {
  /** Of all volumes of a pod together: they are written while it is frozen. 0: none is part of a checkpoint. */
  readonly limitBytes: number
  /** Those that any of these containers mounts: emptyDirs, and the shared memory of the pod. */
  find(pod: Pod, containerIds: readonly string[]): Promise<readonly PodVolume[]>
  measure(volume: PodVolume): Promise<FileSize>
  /** Writes a tar. Throws CheckpointError CHECKPOINT_FAILED, TOO_LARGE. */
  pack(volume: PodVolume, path: string, signal: AbortSignal): Promise<void>
}

const emptyDirSchema = z.looseObject({
  name: z.string(),
  emptyDir: z.looseObject({medium: z.string().optional()}).optional(),
})
const bundleSchema = z.looseObject({mounts: z.array(z.looseObject({source: z.string().default('')}))})

export interface PodVolumesOptions {
  readonly limitBytes: number
  /** Folders of the pods of the kubelet. */
  readonly podsDir: string
  /** Bundles of the containers, by their ids. */
  readonly taskDir: string
  readonly pack: (volume: PodVolume, path: string, maxBytes: number, signal: AbortSignal) => Promise<void>
}

/** Finds volumes by the mounts of running containers. */
export function podVolumes({limitBytes, podsDir, taskDir, pack}: PodVolumesOptions): PodVolumes {
  return {
    limitBytes,
    // It may have grown since it was measured, and a tar has headers.
    pack: (volume, path, signal) => pack(volume, path, 2 * limitBytes, signal),
    measure: ({path}) => measureFiles(path),
    async find({metadata: {uid}, spec}, containerIds) {
      // Huge pages are of a file system whose files can only be mapped.
      const emptyDirs = new Set(
        z
          .array(emptyDirSchema)
          .parse(spec.volumes ?? [])
          .filter(({emptyDir}) => emptyDir !== undefined && emptyDir.medium?.startsWith('HugePages') !== true)
          .map(({name}) => name),
      )
      const found = new Map<PackedVolume, string>()
      for (const id of containerIds) {
        const text = await readFile(join(taskDir, id, 'config.json'), 'utf8').catch(unlessMissing)
        // One that has ended since; its dump says so.
        if (text === undefined) continue
        const bundle = bundleSchema.parse(JSON.parse(text))
        for (const {source} of bundle.mounts) {
          if (/\/sandboxes\/[^/]+\/shm$/.test(source)) found.set('shm', source)
          // A subPath is mounted from a folder of its own.
          const [, own = '', name = ''] =
            /\/pods\/([^/]+)\/(?:volumes\/kubernetes\.io~empty-dir|volume-subpaths)\/([^/]+)/.exec(source) ??
            []
          if (own === uid && emptyDirs.has(name))
            found.set(packedEmptyDir(name), join(podsDir, uid, 'volumes/kubernetes.io~empty-dir', name))
        }
      }
      return [...found].map(([name, path]) => ({name, path})).sort((a, b) => (a.name < b.name ? -1 : 1))
    },
  }
}
