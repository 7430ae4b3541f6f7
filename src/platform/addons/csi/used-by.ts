import {z} from 'zod'
import type {KubeReader} from '../../../kubernetes/types.ts'

const volumeSchema = z.looseObject({
  csi: z.looseObject({driver: z.string()}).optional(),
  claimRef: z.looseObject({namespace: z.string().optional(), name: z.string()}).optional(),
})
const contentSchema = z.looseObject({
  driver: z.string(),
  volumeSnapshotRef: z.looseObject({namespace: z.string().optional(), name: z.string().optional()}),
})
const claimSchema = z.looseObject({
  storageClassName: z.string().optional(),
  volumeName: z.string().optional(),
})

/** Volumes and snapshots of a driver, and claims that wait for a volume of one of its classes. */
export async function usersOfDriver(
  kube: KubeReader,
  driver: string,
  classes: readonly string[],
): Promise<readonly string[]> {
  const volumes = await kube.list({apiVersion: 'v1', kind: 'PersistentVolume'})
  const claims = await kube.list({apiVersion: 'v1', kind: 'PersistentVolumeClaim'})
  const contents = await kube.list({apiVersion: 'snapshot.storage.k8s.io/v1', kind: 'VolumeSnapshotContent'})
  return [
    ...volumes.flatMap(({metadata, spec}) => {
      const {csi, claimRef} = volumeSchema.parse(spec ?? {})
      if (csi?.driver !== driver) return []
      const claim = claimRef === undefined ? '' : ` of claim ${claimRef.namespace ?? ''}/${claimRef.name}`
      return [`PersistentVolume ${metadata.name}${claim} is of driver ${driver}`]
    }),
    ...claims.flatMap(({metadata, spec}) => {
      const {storageClassName = '', volumeName} = claimSchema.parse(spec ?? {})
      if (volumeName !== undefined || !classes.includes(storageClassName)) return []
      return [
        `PersistentVolumeClaim ${metadata.namespace ?? ''}/${metadata.name} waits for a volume of StorageClass ${storageClassName}`,
      ]
    }),
    ...contents.flatMap(({metadata, spec}) => {
      const parsed = contentSchema.safeParse(spec).data
      if (parsed?.driver !== driver) return []
      return [`VolumeSnapshotContent ${metadata.name} is of driver ${driver}`]
    }),
  ]
}
