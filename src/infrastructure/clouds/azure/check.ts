import {z} from 'zod'
import {InfrastructureError} from '../../errors.ts'
import type {CloudProblem, WantedInfrastructure, WantedMachines} from '../cloud.ts'
import {overlapProblems, sizeProblems} from '../problems.ts'
import {type AzureApi, call, gather, partsOf, pathOf} from './api.ts'
import {azureAnswer} from './errors.ts'
import {type AzureSize, azureVmSizes} from './sizes.ts'

/** What would make a plan fail half-way, found by looking. */
export async function azureProblems(
  api: AzureApi,
  wanted: WantedInfrastructure,
  signal: AbortSignal,
): Promise<readonly CloudProblem[]> {
  const asked = new Set(wanted.machines.map(({size}) => size))
  const sizes = asked.size === 0 ? [] : (await azureVmSizes(api, signal)).filter(({name}) => asked.has(name))
  const where = {region: api.location, list: `clouder azure vm-sizes --location ${api.location}`}
  const free = sizes.filter(({restriction}) => restriction === undefined)
  const zones = new Map(sizes.map((size) => [size.name, size.zones]))
  return [
    ...sizeProblems(wanted.machines, zones, where),
    ...restrictedProblems(sizes, where),
    ...unfitProblems(free, wanted, api.location),
    ...(asked.size === 0 ? [] : await featureProblems(api, signal)),
    ...(free.length === 0 ? [] : await quotaProblems(api, wanted.machines, free, signal)),
    ...(await networkProblems(api, wanted, signal)),
    ...(await imageProblems(api, wanted.imageIds, signal)),
  ]
}

function restrictedProblems(
  sizes: readonly AzureSize[],
  {region, list}: {readonly region: string; readonly list: string},
): readonly CloudProblem[] {
  return sizes.flatMap(({name, restriction}): readonly CloudProblem[] =>
    restriction === undefined
      ? []
      : [
          {
            code: 'SIZE_NOT_OFFERED',
            message: `machine size ${name} is not available to this subscription in ${region}: ${restriction}`,
            suggestion: `list the available ones: ${list}`,
          },
        ],
  )
}

/** What the machines of the stack need of a size; who brings an image decides himself about its generation. */
function unfitProblems(
  sizes: readonly AzureSize[],
  {imageIds}: WantedInfrastructure,
  location: string,
): readonly CloudProblem[] {
  const listWith = (fact: string): string =>
    `list the sizes that do: az vm list-skus --location ${location} --resource-type virtualMachines --query "[?capabilities[?${fact}]].name" --output tsv`
  return sizes.flatMap(({name, encryptsAtHost, generations}): readonly CloudProblem[] => [
    ...(encryptsAtHost
      ? []
      : [
          {
            code: 'SIZE_NOT_OFFERED' as const,
            message: `machine size ${name} does not support encryption at host in ${location}, which clouder enables for all disks`,
            suggestion: listWith("name=='EncryptionAtHostSupported' && value=='True'"),
          },
        ]),
    ...(imageIds.length > 0 || generations.length === 0 || generations.includes('V2')
      ? []
      : [
          {
            code: 'SIZE_NOT_OFFERED' as const,
            message: `machine size ${name} cannot boot generation 2 images; it supports ${generations.join(', ')}`,
            suggestion: listWith("name=='HyperVGenerations' && contains(value, 'V2')"),
          },
        ]),
  ])
}

const featureSchema = z.looseObject({properties: z.looseObject({state: z.string()})})

/** Encryption at host is asked for once per subscription; without it machines are refused one by one. */
async function featureProblems(
  {resources, subscription}: AzureApi,
  signal: AbortSignal,
): Promise<readonly CloudProblem[]> {
  const id = `/subscriptions/${subscription}/providers/Microsoft.Features/providers/Microsoft.Compute/features/EncryptionAtHost`
  const found = await orUntold(() =>
    call('Microsoft.Features/providers/features/read', signal, () =>
      resources.resources.getById(pathOf(id), FEATURES_API_VERSION, {abortSignal: signal}),
    ),
  )
  if (found === undefined) return []
  const {state} = featureSchema.parse(found).properties
  if (state === 'Registered') return []
  return [
    {
      code: 'FEATURE_MISSING',
      message: `the feature Microsoft.Compute/EncryptionAtHost is not registered in subscription ${subscription}: its state is ${state}`,
      suggestion:
        'register it, which takes a few minutes: az feature register --namespace Microsoft.Compute --name EncryptionAtHost; then az provider register --namespace Microsoft.Compute --wait',
    },
  ]
}

const FEATURES_API_VERSION = '2021-07-01'

/** Spot machines share one quota; others have one for their family and one for all. */
async function quotaProblems(
  {compute, location}: AzureApi,
  machines: readonly WantedMachines[],
  sizes: readonly AzureSize[],
  signal: AbortSignal,
): Promise<readonly CloudProblem[]> {
  const more = new Map<string, number>()
  for (const {size, count, spot} of machines) {
    const found = sizes.find(({name}) => name === size)
    if (found === undefined) continue
    for (const quota of spot ? ['lowPriorityCores'] : [found.family, 'cores'])
      more.set(quota, (more.get(quota) ?? 0) + count * found.vcpus)
  }
  const usages = await gather(
    'Microsoft.Compute/locations/usages/read',
    signal,
    compute.usage.list(location, {abortSignal: signal}),
  )
  return usages.flatMap(({name, currentValue, limit}): readonly CloudProblem[] => {
    const vcpus = more.get(name.value ?? '') ?? 0
    if (vcpus === 0 || currentValue + vcpus <= limit) return []
    const title = name.localizedValue ?? name.value ?? ''
    return [
      {
        code: 'QUOTA_EXCEEDED',
        message: `${vcpus} more vCPUs in ${location} exceed the quota "${title}": ${currentValue} of ${limit} are in use`,
        suggestion: `request at least ${currentValue + vcpus}: az quota update --resource-name ${name.value ?? ''} …, or the Quotas page of the portal`,
      },
    ]
  })
}

async function networkProblems(
  {network}: AzureApi,
  {networkId, cidrs}: WantedInfrastructure,
  signal: AbortSignal,
): Promise<readonly CloudProblem[]> {
  if (networkId === undefined) return []
  const parts = partsOf(networkId)
  const missing: CloudProblem = {
    code: 'NETWORK_MISSING',
    message: `virtual network ${networkId} not found`,
    suggestion: 'list the existing ones: az network vnet list --query "[].id"',
  }
  if (parts === undefined) return [missing]
  const found = await orAbsent(() =>
    call('Microsoft.Network/virtualNetworks/read', signal, () =>
      network.virtualNetworks.get(parts.group, parts.name, {abortSignal: signal}),
    ),
  )
  if (found === undefined) return [missing]
  return overlapProblems(cidrs, found.addressSpace?.addressPrefixes ?? [], `virtual network ${parts.name}`)
}

async function imageProblems(
  api: AzureApi,
  imageIds: readonly string[],
  signal: AbortSignal,
): Promise<readonly CloudProblem[]> {
  const problems: CloudProblem[] = []
  for (const id of new Set(imageIds)) {
    if ((await orAbsent(() => readImage(api, id, signal))) !== undefined) continue
    problems.push({
      code: 'IMAGE_MISSING',
      message: `image ${id} not found in ${api.location}: it was withdrawn, or this subscription has no access to it`,
      suggestion: 'remove spec.provider.azure.imageId, so that clouder looks up the newest image',
    })
  }
  return problems
}

/** One of the marketplace, `publisher:offer:sku:version`, or one of one's own, a resource id. */
async function readImage(
  {compute, resources, location}: AzureApi,
  id: string,
  signal: AbortSignal,
): Promise<unknown> {
  const [publisher = '', offer = '', sku = '', version] = id.split(':')
  if (version !== undefined) {
    return call(
      'Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read',
      signal,
      () => compute.virtualMachineImages.get(location, publisher, offer, sku, version, {abortSignal: signal}),
    )
  }
  return call('Microsoft.Compute/images/read', signal, () =>
    resources.resources.getById(pathOf(id), IMAGES_API_VERSION, {abortSignal: signal}),
  )
}

/** Known to images and to versions of galleries alike. */
const IMAGES_API_VERSION = '2023-07-03'

/** Undefined where it may not be read: then only the plan itself can tell. */
async function orUntold<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof InfrastructureError && ['CLOUD_REFUSED', 'CLOUD_FAILED'].includes(error.code))
      return undefined
    throw error
  }
}

/** Undefined where Azure says that there is no such thing. */
async function orAbsent<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof InfrastructureError && azureAnswer(error.cause)?.status === 404) return undefined
    throw error
  }
}
