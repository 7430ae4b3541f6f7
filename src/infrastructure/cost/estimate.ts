import type {OwnedKind, OwnedResource} from '../clouds/cloud.ts'
import {cloudMachine, cloudOf, hasBastionHost} from '../../spec/cloud-machines.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {PriceList} from './prices.ts'

/** What clouds count a month as. */
const HOURS_PER_MONTH = 730

export interface CostLine {
  /** `3 × t3.large, worker`. */
  readonly what: string
  /** US dollars; undefined: no price is known. */
  readonly monthlyUsd: number | undefined
}

export interface CostEstimate {
  readonly lines: readonly CostLine[]
  /** Of the lines that have a price. */
  readonly monthlyUsd: number
  /** What has no price here. */
  readonly unknown: readonly string[]
  /** Day of the prices of machines. */
  readonly pricesOf: string
  readonly region: string
}

/** What an estimate leaves out, for people to read. */
export const NOT_COUNTED =
  'without traffic, stored data, add-ons, tax and discounts; spot machines at the full price'

/** What a month of the cluster costs as its spec asks for it: machines, disks, and what stands around them. */
export function estimate(spec: ClusterSpec, prices: PriceList): CostEstimate {
  const lines = [...machineLines(spec, prices), ...networkLines(spec, prices)]
  return {
    lines,
    monthlyUsd: lines.reduce((sum, {monthlyUsd}) => sum + (monthlyUsd ?? 0), 0),
    unknown: lines.filter(({monthlyUsd}) => monthlyUsd === undefined).map(({what}) => what),
    pricesOf: prices.date,
    region: prices.region,
  }
}

/** Sizes that the spec asks for, to be priced. */
export function sizesOf(spec: ClusterSpec): readonly string[] {
  const pools = [undefined, ...spec.workers.map(({name}) => name)]
  return [...new Set([...pools.map((pool) => cloudMachine(spec, pool).size), ...bastionSizes(spec)])]
}

const bastionSizes = (spec: ClusterSpec): readonly string[] => {
  if (!hasBastionHost(spec)) return []
  return [spec.provider.kind === 'azure' ? 'Standard_B2ts_v2' : 't3.nano']
}

function machineLines(spec: ClusterSpec, prices: PriceList): readonly CostLine[] {
  const pools = [
    {pool: undefined, title: 'control plane', count: spec.controlPlane.count ?? 1},
    ...spec.workers.map(({name, count}) => ({pool: name, title: name, count: count ?? 1})),
  ]
  const diskType = prices.kind === 'azure' ? 'StandardSSD_LRS' : 'gp3'
  const perGib = prices.storage(diskType)
  const disks = pools.reduce((sum, {pool, count}) => sum + count * cloudMachine(spec, pool).diskGiB, 0)
  return [
    ...pools
      .filter(({count}) => count > 0)
      .map(({pool, title, count}): CostLine => {
        const {size, spot} = cloudMachine(spec, pool)
        return hourly(`${count} × ${size}, ${title}${spot ? ' (spot)' : ''}`, count, prices.machine(size))
      }),
    ...bastionSizes(spec).map((size) => hourly(`1 × ${size}, jump host`, 1, prices.machine(size))),
    {what: `${disks} GiB of disks`, monthlyUsd: perGib === undefined ? undefined : perGib * disks},
  ]
}

function networkLines(spec: ClusterSpec, prices: PriceList): readonly CostLine[] {
  const cloud = cloudOf(spec)
  if (cloud === undefined) return []
  const nodes = [spec.controlPlane, ...spec.workers].reduce((sum, {count}) => sum + (count ?? 1), 0)
  const isPrivate = cloud.network.mode === 'private'
  const isBuilt = cloud.network.existing === undefined
  // AWS has a NAT gateway in each zone, Azure one for all.
  const nats = isPrivate && isBuilt ? (prices.kind === 'aws' ? cloud.zones.length : 1) : 0
  const addresses =
    nats + (isPrivate ? 0 : nodes) + (hasBastionHost(spec) ? 1 : 0) + (cloud.api === 'public' ? 1 : 0)
  return [
    hourly('load balancer of the API', 1, prices.thing('load-balancer')),
    ...(nats === 0 ? [] : [hourly(`${nats} × NAT gateway`, nats, prices.thing('nat-gateway'))]),
    ...(addresses === 0 ? [] : [hourly(`${addresses} × public address`, addresses, prices.thing('address'))]),
  ]
}

const hourly = (what: string, count: number, price: number | undefined): CostLine => ({
  what,
  monthlyUsd: price === undefined ? undefined : price * count * HOURS_PER_MONTH,
})

/** What a month of something that was left behind costs; undefined: not known, 0: nothing. */
export function monthlyOf(resource: OwnedResource, prices: PriceList): number | undefined {
  const {kind, type, sizeGiB} = resource
  if (FREE.has(kind)) return 0
  const perHour = (price: number | undefined) => (price === undefined ? undefined : price * HOURS_PER_MONTH)
  switch (kind) {
    case 'machine':
      return type === undefined ? undefined : perHour(prices.machine(type))
    case 'load-balancer':
      return perHour(prices.thing(type === 'classic' ? 'load-balancer classic' : 'load-balancer'))
    case 'endpoint':
      // Those of S3 are routes; others have an address in each subnet, and a price.
      return type === 'Gateway' ? 0 : undefined
    case 'nat-gateway':
    case 'address':
      return perHour(prices.thing(kind))
    case 'volume':
    case 'snapshot':
    case 'file-system': {
      const price = prices.storage(kind === 'snapshot' ? 'snapshot' : (type ?? ''))
      return price === undefined || sizeGiB === undefined ? undefined : price * sizeGiB
    }
    default:
      return undefined
  }
}

/** What clouds charge nothing for. */
const FREE: ReadonlySet<OwnedKind> = new Set<OwnedKind>([
  'target-group',
  'network-interface',
  'security-group',
  'subnet',
  'route-table',
  'internet-gateway',
  'network',
  'key-pair',
  'instance-profile',
  'role',
  'policy',
  'resource-group',
])

/** `about 123 USD a month`. */
export function usdText(monthlyUsd: number | undefined): string {
  if (monthlyUsd === undefined) return 'price not known'
  if (monthlyUsd === 0) return 'free'
  return `about ${monthlyUsd < 10 ? monthlyUsd.toFixed(2) : Math.round(monthlyUsd)} USD a month`
}
