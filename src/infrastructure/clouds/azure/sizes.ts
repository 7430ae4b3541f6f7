import type {ResourceSku} from '@azure/arm-compute'
import type {VmSize} from '../cloud.ts'
import {type AzureApi, gather} from './api.ts'

/** A size with the family that its quota counts. */
export interface AzureSize extends VmSize {
  /** `standardDSv5Family`. */
  readonly family: string
  /** Whether the host can encrypt what goes to its disks; true where Azure does not say. */
  readonly encryptsAtHost: boolean
  /** Of Hyper-V: images of generation `V2` boot on those that have it. Empty: Azure does not say. */
  readonly generations: readonly string[]
}

/** Every machine size of the location, also those that this subscription may not have. */
export async function azureVmSizes(
  {compute, location}: AzureApi,
  signal: AbortSignal,
): Promise<readonly AzureSize[]> {
  const skus = await gather(
    'Microsoft.Compute/skus/read',
    signal,
    compute.resourceSkus.list({filter: `location eq '${location}'`, abortSignal: signal}),
  )
  return skus
    .filter(({resourceType}) => resourceType === 'virtualMachines')
    .map((sku) => sizeOf(sku, location))
    .toSorted((a, b) => a.name.localeCompare(b.name, 'en', {numeric: true}))
}

function sizeOf(sku: ResourceSku, location: string): AzureSize {
  const facts = new Map((sku.capabilities ?? []).map(({name = '', value = ''}) => [name, value]))
  const number = (name: string): number => Number(facts.get(name) ?? 0)
  const here = sku.locationInfo?.find((info) => info.location?.toLowerCase() === location.toLowerCase())
  const closed = (sku.restrictions ?? []).flatMap((each) =>
    each.type === 'Zone' ? (each.restrictionInfo?.zones ?? []) : [],
  )
  const whole = sku.restrictions?.find(({type}) => type === 'Location')
  return {
    name: sku.name ?? '',
    family: sku.family ?? '',
    encryptsAtHost: facts.get('EncryptionAtHostSupported')?.toLowerCase() !== 'false',
    generations: facts.get('HyperVGenerations')?.split(',') ?? [],
    vcpus: number('vCPUsAvailable') || number('vCPUs'),
    memoryGiB: number('MemoryGB'),
    gpus: number('GPUs'),
    arch: facts.get('CpuArchitectureType') === 'Arm64' ? 'arm64' : 'amd64',
    zones: (here?.zones ?? []).filter((zone) => !closed.includes(zone)).sort(),
    restriction: whole === undefined ? undefined : (whole.reasonCode ?? 'not available to this subscription'),
  }
}
