import {DataAzurermClientConfig} from '@cdktf/provider-azurerm/lib/data-azurerm-client-config/index.js'
import {DataAzurermResourceGroup} from '@cdktf/provider-azurerm/lib/data-azurerm-resource-group/index.js'
import {ResourceGroup} from '@cdktf/provider-azurerm/lib/resource-group/index.js'
import {Fn, type TerraformElement, type TerraformStack, Token} from 'cdktf'
import type {ClusterSpec} from '../../src/spec/cluster-spec.ts'
import type {StackInput} from '../input.ts'
import {literal} from '../synth.ts'

export type Azure = ClusterSpec['provider']['azure']
export type Tags = Record<string, string>

/** What every part of the Azure stack is made in. */
export interface Frame {
  readonly stack: TerraformStack
  readonly input: StackInput
  readonly spec: ClusterSpec
  readonly azure: Azure
  /** As Azure writes it in labels: `westeurope`. */
  readonly location: string
  readonly tags: Tags
  readonly group: ResourceGroupRef
  readonly subscriptionId: string
  readonly tenantId: string
  /** Hexadecimal, the same for the same subscription, resource group and cluster; for names that are unique in the world. */
  readonly uniqueHash: string
}

export interface ResourceGroupRef {
  readonly name: string
  readonly id: string
  /** The name as the spec says it, known before anything is made. */
  readonly plainName: string
}

/** Resource group, account and tags. */
export function frameOf(stack: TerraformStack, input: StackInput): Frame {
  const {spec} = input
  const azure = withLiterals(spec.provider.azure)
  if (azure.location === undefined) throw new TypeError('spec.provider.azure.location is not filled in')
  const location = azure.location.toLowerCase().replaceAll(' ', '')
  const tags = tagsOf(spec)
  const plainName = azure.resourceGroup ?? `clouder-${spec.name}`
  const account = new DataAzurermClientConfig(stack, 'current', {})
  const group =
    azure.resourceGroup === undefined
      ? new ResourceGroup(stack, 'cluster', {name: plainName, location, tags, ...kept(azure)})
      : new DataAzurermResourceGroup(stack, 'cluster', {name: plainName})
  return {
    stack,
    input,
    spec,
    azure,
    location,
    tags,
    group: {name: group.name, id: group.id, plainName},
    subscriptionId: account.subscriptionId,
    tenantId: account.tenantId,
    uniqueHash: Token.asString(
      Fn.sha1(Fn.join('/', [account.subscriptionId, plainName.toLowerCase(), spec.name])),
    ),
  }
}

/** What no rule of the spec keeps free of Terraform's language. */
function withLiterals(azure: Azure): Azure {
  const {resourceGroup, imageId, diskEncryptionSetId} = azure
  return {
    ...azure,
    ...(resourceGroup === undefined ? {} : {resourceGroup: literal(resourceGroup)}),
    ...(imageId === undefined ? {} : {imageId: literal(imageId)}),
    ...(diskEncryptionSetId === undefined ? {} : {diskEncryptionSetId: literal(diskEncryptionSetId)}),
  }
}

/** Tags of the user and, over them, those by which clouder knows what is its own. Tag names have no slash in Azure. */
function tagsOf(spec: ClusterSpec): Tags {
  const tags: Tags = {}
  for (const [key, value] of Object.entries(spec.provider.azure.tags)) tags[literal(key)] = literal(value)
  return {...tags, 'clouder-cluster': spec.name, 'clouder-managed-by': 'clouder'}
}

/** For what holds data: with deletion policy `retain` Terraform refuses a plan that would delete it. */
export function kept({deletionPolicy}: Azure) {
  return deletionPolicy === 'retain' ? {lifecycle: {preventDestroy: true}} : {}
}

/** Where a resource is made and how it is tagged. */
export function placed({location, group, tags}: Frame) {
  return {location, resourceGroupName: group.name, tags}
}

/** Name of a resource: the cluster's, then what it is. */
export const named = ({spec}: Frame, what: string): string => `${spec.name}-${what}`

/** Gives a resource an address of its own choice; several types may share one. Identifiers do not begin with a digit. */
export function addressed<T extends TerraformElement>(element: T, address: string): T {
  element.overrideLogicalId(/^\d/.test(address) ? `_${address}` : address)
  return element
}

/**
 * Zones of something that stands before all machines: the one zone there is, or all of the region. Azure takes one or
 * three for addresses, and a region that has two has three.
 */
export function zonesBefore({azure}: Frame): string[] | undefined {
  const [first, ...others] = [...azure.zones].sort()
  if (first === undefined) return undefined
  return others.length === 0 ? [first] : ['1', '2', '3']
}

/** `resourceGroups/NAME` and the like of a resource id. */
export function partOfId(id: string, kind: string): string {
  const found = new RegExp(`/${kind}/([^/]+)`, 'i').exec(id)?.[1]
  if (found === undefined) throw new TypeError(`${id} names no ${kind}`)
  return found
}
