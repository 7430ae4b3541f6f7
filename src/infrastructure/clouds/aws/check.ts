import {DescribeImagesCommand, DescribeVpcsCommand, paginateDescribeInstances} from '@aws-sdk/client-ec2'
import {GetServiceQuotaCommand} from '@aws-sdk/client-service-quotas'
import {InfrastructureError} from '../../errors.ts'
import {overlapProblems, sizeProblems} from '../problems.ts'
import type {CloudProblem, WantedInfrastructure, WantedMachines} from '../cloud.ts'
import {type AwsApi, call, gather} from './api.ts'
import {vcpusBySize, zonesBySize} from './sizes.ts'

/** What would make a plan fail half-way, found by looking. */
export async function awsProblems(
  api: AwsApi,
  wanted: WantedInfrastructure,
  signal: AbortSignal,
): Promise<readonly CloudProblem[]> {
  const sizes = [...new Set(wanted.machines.map(({size}) => size))]
  const zones = sizes.length === 0 ? new Map() : await zonesBySize(api, sizes, signal)
  const offered = wanted.machines.filter(({size}) => zones.has(size))
  return [
    ...sizeProblems(wanted.machines, zones, {
      region: api.region,
      list: `clouder aws vm-sizes --region ${api.region}`,
    }),
    ...(await quotaProblems(api, offered, signal)),
    ...(await networkProblems(api, wanted, signal)),
    ...(await imageProblems(api, wanted.imageIds, signal)),
  ]
}

/** Quotas count processors by family: https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html */
const FAMILIES: readonly {readonly name: string; readonly family: RegExp; onDemand: string; spot: string}[] =
  [
    {name: 'G and VT', family: /^(g|vt)\d/, onDemand: 'L-DB2E81BA', spot: 'L-3819A6DF'},
    {name: 'P', family: /^p\d/, onDemand: 'L-417A185B', spot: 'L-7212CCBC'},
    {name: 'standard', family: /^[acdhimrtz]\d/, onDemand: 'L-1216C47A', spot: 'L-34B43A08'},
  ]

async function quotaProblems(
  api: AwsApi,
  machines: readonly WantedMachines[],
  signal: AbortSignal,
): Promise<readonly CloudProblem[]> {
  const vcpus = await vcpusBySize(api, [...new Set(machines.map(({size}) => size))], signal)
  const problems: CloudProblem[] = []
  for (const {name, family, onDemand, spot} of FAMILIES) {
    for (const isSpot of [false, true]) {
      const more = machines
        .filter((machine) => machine.spot === isSpot && family.test(machine.size))
        .reduce((sum, {size, count}) => sum + count * (vcpus.get(size) ?? 0), 0)
      if (more === 0) continue
      const code = isSpot ? spot : onDemand
      const limit = await quotaOf(api, code, signal)
      if (limit === undefined) continue
      const used = await usedVcpus(api, family, isSpot, signal)
      if (used + more <= limit) continue
      const kind = `${isSpot ? 'spot' : 'on-demand'} ${name} instances`
      problems.push({
        code: 'QUOTA_EXCEEDED',
        message: `${more} more vCPUs of ${kind} in ${api.region} exceed the quota: ${used} of ${limit} are in use`,
        suggestion: `request an increase: aws service-quotas request-service-quota-increase --service-code ec2 --quota-code ${code} --desired-value ${used + more} --region ${api.region}`,
      })
    }
  }
  return problems
}

/** Undefined where the quota may not be read, or is not told: then only the plan itself can tell. */
async function quotaOf(api: AwsApi, code: string, signal: AbortSignal): Promise<number | undefined> {
  try {
    const answer = await call('servicequotas:GetServiceQuota', signal, (options) =>
      api.quotas.send(new GetServiceQuotaCommand({ServiceCode: 'ec2', QuotaCode: code}), options),
    )
    return answer.Quota?.Value
  } catch (error) {
    const isUnread =
      error instanceof InfrastructureError && ['CLOUD_REFUSED', 'CLOUD_FAILED'].includes(error.code)
    if (isUnread) return undefined
    throw error
  }
}

async function usedVcpus(api: AwsApi, family: RegExp, isSpot: boolean, signal: AbortSignal): Promise<number> {
  const reservations = await gather(
    'ec2:DescribeInstances',
    signal,
    paginateDescribeInstances(
      {client: api.ec2},
      {Filters: [{Name: 'instance-state-name', Values: ['pending', 'running']}]},
      {abortSignal: signal},
    ),
    (page) => page.Reservations,
  )
  return reservations
    .flatMap(({Instances: instances}) => instances ?? [])
    .filter((each) => family.test(each.InstanceType ?? '') && (each.InstanceLifecycle === 'spot') === isSpot)
    .reduce((sum, {CpuOptions: cpu}) => sum + (cpu?.CoreCount ?? 0) * (cpu?.ThreadsPerCore ?? 1), 0)
}

async function networkProblems(
  api: AwsApi,
  {networkId, cidrs}: WantedInfrastructure,
  signal: AbortSignal,
): Promise<readonly CloudProblem[]> {
  if (networkId === undefined) return []
  const answer = await call('ec2:DescribeVpcs', signal, (options) =>
    api.ec2.send(new DescribeVpcsCommand({Filters: [{Name: 'vpc-id', Values: [networkId]}]}), options),
  )
  const [vpc] = answer.Vpcs ?? []
  if (vpc === undefined) {
    return [
      {
        code: 'NETWORK_MISSING',
        message: `VPC ${networkId} not found in ${api.region}`,
        suggestion: `list the existing ones: aws ec2 describe-vpcs --region ${api.region}`,
      },
    ]
  }
  const theirs = (vpc.CidrBlockAssociationSet ?? []).flatMap(({CidrBlock: cidr}) => cidr ?? [])
  return overlapProblems(cidrs, theirs.length === 0 ? [vpc.CidrBlock ?? ''] : theirs, `VPC ${networkId}`)
}

async function imageProblems(
  api: AwsApi,
  imageIds: readonly string[],
  signal: AbortSignal,
): Promise<readonly CloudProblem[]> {
  if (imageIds.length === 0) return []
  const answer = await call('ec2:DescribeImages', signal, (options) =>
    // By filter: an id that is not there makes an error of a list of ids.
    api.ec2.send(
      new DescribeImagesCommand({
        Filters: [{Name: 'image-id', Values: [...imageIds]}],
        IncludeDeprecated: true,
      }),
      options,
    ),
  )
  const there = new Set((answer.Images ?? []).map(({ImageId: id}) => id))
  return [...new Set(imageIds)]
    .filter((id) => !there.has(id))
    .map((id): CloudProblem => ({
      code: 'IMAGE_MISSING',
      message: `image ${id} not found in ${api.region}: it was withdrawn, or this account has no access to it`,
      suggestion: 'remove spec.provider.aws.imageId, so that clouder looks up the newest image',
    }))
}
