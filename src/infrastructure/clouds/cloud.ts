import {InfrastructureError} from '../errors.ts'

export type CloudKind = 'aws' | 'azure'

/** Tag on everything that clouder makes; Azure forbids `/` in names of tags. */
export const CLUSTER_TAG = {aws: 'clouder.dev/cluster', azure: 'clouder-cluster'} as const

/** Who the credentials are. */
export interface CloudIdentity {
  readonly kind: CloudKind
  /** Account number, or subscription id. */
  readonly account: string
  /** What people call it; absent where the cloud does not tell. */
  readonly accountName?: string
  /** ARN, or user or application and its tenant. */
  readonly principal: string
  /** Region or location that was asked for. */
  readonly region: string
}

export interface CloudRegion {
  readonly name: string
  /** `Germany West Central`; the name itself where the cloud has no other. */
  readonly title: string
  /** False: it must be opted into first. */
  readonly enabled: boolean
}

export interface VmSize {
  readonly name: string
  readonly vcpus: number
  readonly memoryGiB: number
  readonly gpus: number
  /** `amd64`, `arm64`. */
  readonly arch: string
  /** Zones of the region where it is offered, as the cloud names them; empty: nothing is said of zones. */
  readonly zones: readonly string[]
  /** Why this account cannot have it here; undefined: it can. */
  readonly restriction: string | undefined
}

/** What kinds of things a cluster can leave behind. */
export type OwnedKind =
  | 'load-balancer'
  | 'target-group'
  | 'machine'
  | 'nat-gateway'
  | 'endpoint'
  | 'address'
  | 'network-interface'
  | 'volume'
  | 'snapshot'
  | 'file-system'
  | 'security-group'
  | 'subnet'
  | 'route-table'
  | 'internet-gateway'
  | 'network'
  | 'key-pair'
  | 'instance-profile'
  | 'role'
  | 'policy'
  | 'bucket'
  | 'resource-group'
  | 'other'

/** Something in the account that carries the cluster's tag. */
export interface OwnedResource {
  /** What the cloud removes it by: `vol-…`, an ARN, a resource id. */
  readonly id: string
  readonly kind: OwnedKind
  readonly region: string
  readonly name: string
  /** ISO 8601; absent where the cloud does not tell. */
  readonly createdAt?: string
  /** `clouder`: carries clouder's own tag; `controller`: made by a controller in the cluster. */
  readonly madeBy: 'clouder' | 'controller'
  /** Whether it holds what somebody may want to keep: volumes, snapshots, file systems, buckets. */
  readonly holdsData: boolean
  /** Storage that is paid for. */
  readonly sizeGiB?: number
  /** Type that the price depends on: `t3.large`, `gp3`, `network`. */
  readonly type?: string
}

/** Machines that a plan asks for, to be judged before it runs. */
export interface WantedMachines {
  readonly size: string
  readonly count: number
  readonly spot: boolean
  /** Names of zones, `eu-central-1a` or `1`; empty: any. */
  readonly zones: readonly string[]
}

export interface WantedInfrastructure {
  readonly machines: readonly WantedMachines[]
  /** Machine images that are pinned; one that was withdrawn is a problem. */
  readonly imageIds: readonly string[]
  /** VPC or virtual network to build in, when there is one already. */
  readonly networkId?: string
  /** Networks of the cluster that must not overlap with those of that network: pods, services. */
  readonly cidrs: readonly string[]
}

export interface CloudProblem {
  readonly code:
    | 'SIZE_NOT_OFFERED'
    | 'FEATURE_MISSING'
    | 'QUOTA_EXCEEDED'
    | 'NETWORK_OVERLAP'
    | 'NETWORK_MISSING'
    | 'IMAGE_MISSING'
  /** Lower case, with the wrong value. */
  readonly message: string
  readonly suggestion: string
}

/**
 * One account and region of a cloud, through the cloud's own SDK. Every call throws InfrastructureError:
 * CREDENTIALS_MISSING, CREDENTIALS_EXPIRED, CLOUD_REFUSED (with the permission that is missing), CLOUD_UNREACHABLE.
 */
export interface Cloud {
  readonly kind: CloudKind
  readonly region: string
  identity(signal: AbortSignal): Promise<CloudIdentity>
  /**
   * SSH host keys that machines printed to their consoles at first boot, each `<type> <base64>`, by cloud id.
   * A machine that has not printed them yet is absent: ask again.
   */
  hostKeys(cloudIds: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, readonly string[]>>
  /** Everything that carries the cluster's tag, and what controllers in the cluster made, in the order to remove it. */
  findOwned(cluster: string, signal: AbortSignal): Promise<readonly OwnedResource[]>
  /** Names of clusters that own something here. */
  ownedClusters(signal: AbortSignal): Promise<readonly string[]>
  /** Asks for its removal; gone already is fine. `busy`: something that still goes away stands in the way, ask again. */
  remove(resource: OwnedResource, signal: AbortSignal): Promise<'removed' | 'busy'>
  regions(signal: AbortSignal): Promise<readonly CloudRegion[]>
  vmSizes(signal: AbortSignal): Promise<readonly VmSize[]>
  /** What would make a plan fail half-way, found by looking: sizes, quotas, networks. */
  check(wanted: WantedInfrastructure, signal: AbortSignal): Promise<readonly CloudProblem[]>
}

export interface CloudOptions {
  readonly kind: CloudKind
  /** Region or location; undefined: what the cloud's own configuration says. Throws REGION_MISSING when nobody does. */
  readonly region?: string | undefined
  /** Profile of the AWS configuration. */
  readonly profile?: string | undefined
  /** Account or subscription that the credentials must be of; throws ACCOUNT_MISMATCH. */
  readonly account?: string | undefined
  readonly signal: AbortSignal
}

/** Opens a cloud; its SDK is loaded now. Throws InfrastructureError. */
export type CloudOpener = (options: CloudOptions) => Promise<Cloud>

/** Refuses credentials of another account than the one that is meant. Throws InfrastructureError ACCOUNT_MISMATCH. */
export function checkAccount(identity: CloudIdentity, wanted: string | undefined): void {
  if (wanted === undefined || wanted === identity.account) return
  const what = identity.kind === 'aws' ? 'account' : 'subscription'
  throw new InfrastructureError(
    'ACCOUNT_MISMATCH',
    `the credentials belong to ${what} ${identity.account} (${identity.principal}), expected ${what} ${wanted}`,
    {
      suggestions: [
        identity.kind === 'aws'
          ? 'use credentials of that account: AWS_PROFILE=NAME'
          : `select that subscription: az account set --subscription ${wanted}`,
        'or use a context with the account of these credentials: clouder ctx ls',
      ],
    },
  )
}
