import {readdir} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {z} from 'zod'
import {unlessMissing} from '../../base/system-errors.ts'
import type {RestoreAnswer} from '../../api/handler-protocol.ts'
import {
  emptyDirOf,
  volumeMember,
  volumeOfMember,
  type PackedVolume,
} from '../../checkpoint/archive/volumes.ts'
import type {OciSpec} from '../../checkpoint/archive/oci-spec.ts'
import type {Pod} from '../../kubernetes/pod.ts'
import type {PreparedContainer, Preparations} from './prepare.ts'

const PODS_DIR = '/var/lib/kubelet/pods'
const SANDBOX_DIR = '/run/containerd/io.containerd.grpc.v1.cri/sandboxes'

type RestoredVolumes = NonNullable<Extract<RestoreAnswer, {action: 'restore'}>['volumes']>

const podSpecSchema = z.looseObject({
  volumes: z
    .array(
      z.looseObject({
        name: z.string(),
        emptyDir: z.looseObject({medium: z.string().default('')}).optional(),
      }),
    )
    .default([]),
  initContainers: z.array(z.looseObject({restartPolicy: z.string().optional()})).default([]),
})

/**
 * What volumes of a pod get back, whichever container is restored first. Those of one that runs already, as a sidecar
 * among the init containers does, are not emptied before.
 */
export async function restoredVolumes(
  pod: Pod,
  prepared: readonly PreparedContainer[],
  spec: OciSpec,
  preparations: Pick<Preparations, 'volumeMarker'>,
): Promise<RestoredVolumes> {
  const {uid} = pod.metadata
  const {volumes, initContainers} = podSpecSchema.parse(pod.spec)
  const clear = !initContainers.some(({restartPolicy}) => restartPolicy === 'Always')
  const sandbox = spec.annotations['io.kubernetes.cri.sandbox-id'] ?? ''
  const found: RestoredVolumes = []
  for (const {imageDir, boot} of prepared) {
    const folder = dirname(imageDir)
    for (const volume of await volumesIn(folder)) {
      const name = emptyDirOf(volume)
      const emptyDir = volumes.find((one) => one.name === name)?.emptyDir
      const archive = join(folder, volumeMember(volume))
      // The shared memory is of a sandbox, and a volume in memory of a boot: what follows these is empty again.
      if (name === undefined)
        found.push({
          archive,
          target: join(SANDBOX_DIR, sandbox, 'shm'),
          marker: preparations.volumeMarker(uid, `shm-${sandbox}`),
          clear,
        })
      else if (emptyDir !== undefined)
        found.push({
          archive,
          target: join(PODS_DIR, uid, 'volumes/kubernetes.io~empty-dir', name),
          marker: preparations.volumeMarker(
            uid,
            emptyDir.medium === '' ? volume : `${volume}-${boot.trim()}`,
          ),
          clear,
        })
    }
  }
  return found
}

/** Volumes in the folder of a container's checkpoint. */
async function volumesIn(folder: string): Promise<readonly PackedVolume[]> {
  const names = (await readdir(join(folder, 'volumes')).catch(unlessMissing)) ?? []
  return names.flatMap((name) => volumeOfMember(`volumes/${name}`) ?? []).sort()
}
