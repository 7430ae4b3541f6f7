import type {ClusterSpec} from './cluster-spec.ts'

const DEFAULT_DISK_GIB = 50

/** The smallest common machines that hold a control plane, and a little work. */
const DEFAULT_SIZES = {
  aws: {controlPlane: 't3.medium', worker: 't3.large'},
  azure: {controlPlane: 'Standard_B2s', worker: 'Standard_D2s_v5'},
} as const

export interface CloudMachine {
  /** `t3.large`, `Standard_D2s_v5`. */
  readonly size: string
  readonly diskGiB: number
  readonly spot: boolean
}

/** What to order for a worker pool by its name, or for control planes when none is named. */
export function cloudMachine(spec: ClusterSpec, pool: string | undefined): CloudMachine {
  const sizes = DEFAULT_SIZES[spec.provider.kind === 'azure' ? 'azure' : 'aws']
  if (pool === undefined) {
    const {size = sizes.controlPlane, diskGiB = DEFAULT_DISK_GIB} = spec.controlPlane
    return {size, diskGiB, spot: false}
  }
  const found = spec.workers.find(({name}) => name === pool)
  return {
    size: found?.size ?? sizes.worker,
    diskGiB: found?.diskGiB ?? DEFAULT_DISK_GIB,
    spot: found?.spot ?? false,
  }
}

/** Whether anything of the cluster gets a public address that administrators use. */
export function hasPublicAccess(spec: ClusterSpec): boolean {
  const cloud = cloudOf(spec)
  if (cloud === undefined) return false
  return cloud.api === 'public' || cloud.network.mode === 'public' || hasBastionHost(spec)
}

/** Whether a jump host is made: for private nodes only. */
export function hasBastionHost(spec: ClusterSpec): boolean {
  const cloud = cloudOf(spec)
  return cloud?.network.mode === 'private' && cloud.bastion === 'host'
}

/** The settings of the cloud that is used; undefined: none is. */
export function cloudOf(
  spec: ClusterSpec,
): ClusterSpec['provider']['aws'] | ClusterSpec['provider']['azure'] | undefined {
  const {kind} = spec.provider
  return kind === 'aws' || kind === 'azure' ? spec.provider[kind] : undefined
}
