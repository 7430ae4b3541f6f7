import type {Obstacle} from '../../api/kinds/checkpoint.ts'

const FOLDER = 'volumes/'
const MEMBER = /^volumes\/((?:emptydir-[a-z0-9.-]+)|shm)\.tar$/

/**
 * What an archive holds of the pod's volumes, each once for the pod: `emptydir-<name of the volume>`, and `shm`, which is
 * /dev/shm.
 */
export type PackedVolume = `emptydir-${string}` | 'shm'

export const packedEmptyDir = (volume: string): PackedVolume => `emptydir-${volume}`

/** Member of an archive with the contents of a volume, a tar. */
export const volumeMember = (volume: PackedVolume): string => `${FOLDER}${volume}.tar`

/** Undefined: the member is no volume. */
export function volumeOfMember(path: string): PackedVolume | undefined {
  const name = MEMBER.exec(path)?.[1]
  if (name === 'shm') return name
  return name?.startsWith('emptydir-') === true ? packedEmptyDir(name.slice('emptydir-'.length)) : undefined
}

/** Name of the pod's emptyDir; undefined: it is /dev/shm. */
export const emptyDirOf = (volume: PackedVolume): string | undefined =>
  volume === 'shm' ? undefined : volume.slice('emptydir-'.length)

/** The obstacles that remain when these volumes come back with what is in them. */
export function withoutPacked(
  obstacles: readonly Obstacle[],
  packed: ReadonlySet<PackedVolume>,
): readonly Obstacle[] {
  return obstacles.filter(
    ({source, volume}) =>
      !(source === 'SharedMemory' && packed.has('shm')) &&
      !(source === 'EmptyDir' && volume !== undefined && packed.has(packedEmptyDir(volume))),
  )
}
