import {parseCidr} from '../base/cidr.ts'
import {hasBastionHost, hasPublicAccess} from './cloud-machines.ts'
import type {ClusterSpec} from './cluster-spec.ts'
import type {Finding, Path} from './problems.ts'
import * as syntax from './syntax.ts'

/** No organisation has more addresses; two networks of half the world each are the world too. */
const NARROWEST_WORLD = {4: 8, 6: 16} as const

const KIND: Path = ['spec', 'provider', 'kind']
const AZURE_IMAGE_GIB = 30

/** What only clouds understand, against the provider and against itself. */
export function cloudFindings(spec: ClusterSpec): readonly Finding[] {
  const {kind} = spec.provider
  const isCloud = kind === 'aws' || kind === 'azure'
  return [
    ...(isCloud ? accessFindings(spec) : orderedFindings(spec)),
    ...(kind === 'aws' ? awsFindings(spec) : []),
    ...(kind === 'azure' ? azureFindings(spec) : []),
    ...(isCloud ? rangeFindings(spec, kind) : []),
    ...stateFindings(spec),
  ]
}

/** Sizes of machines that nobody orders. */
function orderedFindings(spec: ClusterSpec): readonly Finding[] {
  const groups: readonly {path: Path; size?: string | undefined; diskGiB?: number | undefined}[] = [
    {path: ['spec', 'controlPlane'], ...spec.controlPlane},
    ...spec.workers.map((pool, index) => ({path: ['spec', 'workers', index], ...pool})),
  ]
  const problem = `is for machines created in a cloud, not for provider ${spec.provider.kind}`
  return [
    ...groups.flatMap(({path, size, diskGiB}) => [
      ...(size === undefined ? [] : [{path: [...path, 'size'], value: size, problem, reads: [KIND]}]),
      ...(diskGiB === undefined
        ? []
        : [{path: [...path, 'diskGiB'], value: diskGiB, problem, reads: [KIND]}]),
    ]),
    ...spec.workers.flatMap(({spot}, index) =>
      spot ? [{path: ['spec', 'workers', index, 'spot'], value: spot, problem, reads: [KIND]}] : [],
    ),
  ]
}

function accessFindings(spec: ClusterSpec): readonly Finding[] {
  const {adminCidrs, allowWorld} = spec.access
  const path = ['spec', 'access', 'adminCidrs']
  if (hasPublicAccess(spec) && adminCidrs.length === 0) {
    const problem =
      'is required, because part of the cluster has a public address: set the networks that administrators come from, such as 203.0.113.7/32'
    return [{path, value: undefined, problem, reads: [KIND]}]
  }
  if (allowWorld) return []
  return adminCidrs.flatMap((text, index) => {
    const cidr = parseCidr(text)
    if (cidr === undefined || cidr.prefix >= NARROWEST_WORLD[cidr.family]) return []
    const problem = `admits ${cidr.prefix === 0 ? 'the whole internet' : 'a large part of the internet'}; if that is intended, set spec.access.allowWorld to true`
    return [{path: [...path, index], value: text, problem, reads: [['spec', 'access', 'allowWorld'], KIND]}]
  })
}

function awsFindings(spec: ClusterSpec): readonly Finding[] {
  const {aws} = spec.provider
  const at = (...path: Path): Path => ['spec', 'provider', 'aws', ...path]
  const zones = aws.zones.flatMap((zone, index): readonly Finding[] =>
    /^[a-z]$/.test(zone) && aws.zones.indexOf(zone) === index
      ? []
      : [{path: at('zones', index), value: zone, problem: 'is not a zone letter, or is repeated'}],
  )
  return [
    ...zones,
    ...(aws.zones.length === 2
      ? [{path: at('zones'), value: aws.zones, problem: 'are two: set one, or three for a quorum'}]
      : []),
    ...matching(at('region'), aws.region, /^[a-z]{2}(-[a-z]+)+-\d$/, 'is not a region such as eu-central-1'),
    ...matching(at('account'), aws.account, /^\d{12}$/, 'is not an account ID: twelve digits, in quotes'),
    ...matching(
      at('imageId'),
      aws.imageId,
      /^ami-[0-9a-f]{8,17}$/,
      'is not an image such as ami-0123456789abcdef0',
    ),
    // What takes only the ARN (file systems, policies) and what takes an alias too is not told apart in a spec.
    ...matching(
      at('kmsKeyId'),
      aws.kmsKeyId,
      /^arn:aws[a-z-]*:kms:[^:]+:\d{12}:key\/[\w-]+$/,
      'is not the ARN of a key: arn:aws:kms:<region>:<account>:key/<id>',
    ),
    ...agentFindings(spec),
    ...awsSubnetFindings(spec),
  ]
}

/** https://docs.aws.amazon.com/systems-manager/latest/userguide/ami-preinstalled-agent.html */
function agentFindings(spec: ClusterSpec): readonly Finding[] {
  const {bastion, image, imageId, network} = spec.provider.aws
  const hasAgent = imageId !== undefined || image.startsWith('ubuntu-')
  if (bastion !== 'ssm' || network.mode !== 'private' || hasAgent) return []
  const problem = `needs the Session Manager agent, which images of ${image} do not include: choose image ubuntu-24.04, or an imageId with the agent`
  return [
    {
      path: ['spec', 'provider', 'aws', 'bastion'],
      value: bastion,
      problem,
      reads: [['spec', 'provider', 'aws']],
    },
  ]
}

function awsSubnetFindings(spec: ClusterSpec): readonly Finding[] {
  const {aws} = spec.provider
  const {existing, mode} = aws.network
  if (existing === undefined) return []
  const at = (key: string): Path => ['spec', 'provider', 'aws', 'network', 'existing', key]
  const reads = [['spec', 'provider', 'aws']]
  const problem = `needs one subnet for each of ${aws.zones.length} zones`
  const needsPublic = mode === 'public' || aws.api === 'public' || hasBastionHost(spec)
  const count = aws.zones.length
  const {privateSubnetIds, publicSubnetIds} = existing
  return [
    ...(mode === 'private' && privateSubnetIds.length !== count
      ? [{path: at('privateSubnetIds'), value: privateSubnetIds, problem, reads}]
      : []),
    ...(needsPublic && publicSubnetIds.length !== count
      ? [{path: at('publicSubnetIds'), value: publicSubnetIds, problem, reads}]
      : []),
  ]
}

function azureFindings(spec: ClusterSpec): readonly Finding[] {
  const {azure} = spec.provider
  const at = (...path: Path): Path => ['spec', 'provider', 'azure', ...path]
  return [
    ...matching(
      at('subscription'),
      azure.subscription,
      /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i,
      'is not the UUID of a subscription',
    ),
    ...matching(at('location'), azure.location, /^[a-z][a-z0-9]+$/, 'is not a location such as westeurope'),
    ...azureNetworkFindings(spec),
    ...azureDiskFindings(spec),
    ...(new Set(azure.zones).size === azure.zones.length
      ? []
      : [{path: at('zones'), value: azure.zones, problem: 'lists a zone twice'}]),
  ]
}

const VNET_ID =
  /^\/subscriptions\/[^/]+\/resourceGroups\/[^/]+\/providers\/Microsoft\.Network\/virtualNetworks\/[^/]+$/i
const SUBNET_TAIL = /\/subnets\/[^/]+$/i

/** Subnets lie in the virtual network beside which they are named; ids of Azure have no case. */
function azureNetworkFindings(spec: ClusterSpec): readonly Finding[] {
  const {existing} = spec.provider.azure.network
  if (existing === undefined) return []
  const at = (key: string): Path => ['spec', 'provider', 'azure', 'network', 'existing', key]
  const wrong = matching(at('vnetId'), existing.vnetId, VNET_ID, 'is not the id of a virtual network')
  if (wrong.length > 0) return wrong
  const {vnetId, ...subnets} = existing
  return Object.entries(subnets).flatMap(([key, id]): readonly Finding[] => {
    if (id === undefined) return []
    const network = id.replace(SUBNET_TAIL, '')
    if (network === id || !VNET_ID.test(network))
      return [{path: at(key), value: id, problem: 'is not the id of a subnet'}]
    if (network.toLowerCase() === vnetId.toLowerCase()) return []
    return [{path: at(key), value: id, problem: `is not a subnet of ${vnetId}`, reads: [at('vnetId')]}]
  })
}

/** A disk cannot be smaller than the image that it is made from. */
function azureDiskFindings(spec: ClusterSpec): readonly Finding[] {
  const groups: readonly {path: Path; diskGiB?: number | undefined}[] = [
    {path: ['spec', 'controlPlane'], ...spec.controlPlane},
    ...spec.workers.map((pool, index) => ({path: ['spec', 'workers', index], ...pool})),
  ]
  return groups.flatMap(({path, diskGiB}): readonly Finding[] => {
    if (diskGiB === undefined || diskGiB >= AZURE_IMAGE_GIB) return []
    const problem = `is smaller than the images of Azure: ${AZURE_IMAGE_GIB} or more`
    return [{path: [...path, 'diskGiB'], value: diskGiB, problem, reads: [KIND]}]
  })
}

/** The network that is made must hold a subnet for each zone, public and private. */
function rangeFindings(spec: ClusterSpec, kind: 'aws' | 'azure'): readonly Finding[] {
  const {network} = spec.provider[kind]
  const path = ['spec', 'provider', kind, 'network', 'cidr']
  const wrong = syntax.cidr(network.cidr)
  if (wrong !== undefined) return [{path, value: network.cidr, problem: wrong}]
  const range = parseCidr(network.cidr)
  if (range?.family === 4 && range.prefix >= 16 && range.prefix <= 22) return []
  return [{path, value: network.cidr, problem: 'must be an IPv4 network between /16 and /22'}]
}

function stateFindings(spec: ClusterSpec): readonly Finding[] {
  const {backend} = spec.state
  if (backend === 'local' || spec.state[backend] !== undefined) return []
  const problem = `is required with backend ${backend}`
  return [
    {path: ['spec', 'state', backend], value: undefined, problem, reads: [['spec', 'state', 'backend']]},
  ]
}

const matching = (
  path: Path,
  value: string | undefined,
  pattern: RegExp,
  problem: string,
): readonly Finding[] => (value === undefined || pattern.test(value) ? [] : [{path, value, problem}])
