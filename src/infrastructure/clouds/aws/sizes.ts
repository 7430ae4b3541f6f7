import {
  DescribeInstanceTypesCommand,
  type _InstanceType,
  type InstanceTypeInfo,
  paginateDescribeInstanceTypeOfferings,
  paginateDescribeInstanceTypes,
} from '@aws-sdk/client-ec2'
import type {VmSize} from '../cloud.ts'
import {type AwsApi, call, gather} from './api.ts'

/** Every instance type of the region, with the zones that offer it. */
export async function awsVmSizes(api: AwsApi, signal: AbortSignal): Promise<readonly VmSize[]> {
  const types = await gather(
    'ec2:DescribeInstanceTypes',
    signal,
    paginateDescribeInstanceTypes({client: api.ec2}, {}, {abortSignal: signal}),
    (page) => page.InstanceTypes,
  )
  const zones = await zonesBySize(api, undefined, signal)
  return types
    .map((type) => sizeOf(type, zones.get(type.InstanceType ?? '') ?? []))
    .toSorted((a, b) => a.name.localeCompare(b.name, 'en', {numeric: true}))
}

/** Zones that offer each size; only the sizes that are asked for, or all. */
export async function zonesBySize(
  api: AwsApi,
  sizes: readonly string[] | undefined,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const offers = await gather(
    'ec2:DescribeInstanceTypeOfferings',
    signal,
    paginateDescribeInstanceTypeOfferings(
      {client: api.ec2},
      {
        LocationType: 'availability-zone',
        ...(sizes === undefined ? {} : {Filters: [{Name: 'instance-type', Values: [...sizes]}]}),
      },
      {abortSignal: signal},
    ),
    (page) => page.InstanceTypeOfferings,
  )
  const found = new Map<string, string[]>()
  for (const {InstanceType: type, Location: zone} of offers) {
    if (type === undefined || zone === undefined) continue
    const zones = found.get(type) ?? []
    found.set(type, [...zones, zone].sort())
  }
  return found
}

/** Virtual processors of the sizes that exist. */
export async function vcpusBySize(
  api: AwsApi,
  sizes: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  if (sizes.length === 0) return new Map()
  const answer = await call('ec2:DescribeInstanceTypes', signal, (options) =>
    // The SDK lists the types it was made with; newer ones are as good.
    api.ec2.send(new DescribeInstanceTypesCommand({InstanceTypes: sizes as _InstanceType[]}), options),
  )
  return new Map(
    (answer.InstanceTypes ?? []).map((type) => [type.InstanceType ?? '', type.VCpuInfo?.DefaultVCpus ?? 0]),
  )
}

function sizeOf(type: InstanceTypeInfo, zones: readonly string[]): VmSize {
  const isArm = type.ProcessorInfo?.SupportedArchitectures?.includes('arm64') === true
  return {
    name: type.InstanceType ?? '',
    vcpus: type.VCpuInfo?.DefaultVCpus ?? 0,
    memoryGiB: (type.MemoryInfo?.SizeInMiB ?? 0) / 1024,
    gpus: (type.GpuInfo?.Gpus ?? []).reduce((sum, gpu) => sum + (gpu.Count ?? 0), 0),
    arch: isArm ? 'arm64' : 'amd64',
    zones,
    restriction: zones.length === 0 ? 'not offered in this region' : undefined,
  }
}
