import {ApplicationSecurityGroup} from '@cdktf/provider-azurerm/lib/application-security-group/index.js'
import {NetworkSecurityGroup} from '@cdktf/provider-azurerm/lib/network-security-group/index.js'
import {NetworkSecurityRule} from '@cdktf/provider-azurerm/lib/network-security-rule/index.js'
import {parseCidr} from '../../src/base/cidr.ts'
import type {ClusterSpec} from '../../src/spec/cluster-spec.ts'
import {hasBastionHost} from '../../src/spec/cloud-machines.ts'
import {portMatrix, type PortRule} from '../ports.ts'
import {addressed, type Frame, named, placed} from './frame.ts'

export type Role = 'control-plane' | 'worker' | 'bastion'

/** What a network interface of a role is put into. */
export interface RoleSecurity {
  readonly firewall: NetworkSecurityGroup
  /** Stands for the machines of the role in rules. */
  readonly members: ApplicationSecurityGroup
}

/** One rule of a firewall: a port, and one kind of source. */
interface Opening {
  readonly id: string
  readonly target: Role
  readonly origin: 'machines' | 'balancer' | 'administrators'
  readonly rule: PortRule
  readonly roles: readonly Role[]
}

/** The cloud provider of Kubernetes numbers the rules it makes from 500 on; ours stay below. */
const FIRST_PRIORITY = 100
const LAST_PRIORITY = 4096

/** Firewalls by role, on network interfaces and not on subnets, so that a subnet that was brought stays as it is. */
export function securityOf(frame: Frame): ReadonlyMap<Role, RoleSecurity> {
  const roles: readonly Role[] = [
    'control-plane',
    'worker',
    ...(hasBastionHost(frame.spec) ? ['bastion' as const] : []),
  ]
  const security = new Map(roles.map((role) => [role, groupsOf(frame, role)]))
  const numbers = priorities(frame.spec)
  for (const opening of openingsOf(portMatrix(frame.spec))) {
    const {firewall} = memberOf(security, opening.target)
    const priority = numbers.get(opening.id)
    if (priority === undefined) throw new TypeError(`${opening.id} has no number`)
    for (const [index, source] of sourcesOf(frame, opening, security).entries())
      allow(frame, firewall, opening, {...source, priority: priority + index})
  }
  for (const [role, {firewall}] of security) refuseOthers(frame, firewall, role)
  return security
}

export function memberOf(security: ReadonlyMap<Role, RoleSecurity>, role: Role): RoleSecurity {
  const found = security.get(role)
  if (found === undefined) throw new TypeError(`no machine is a ${role}`)
  return found
}

/** Networks of administrators; the whole world only where the spec says so. Throws TypeError. */
export function adminCidrs({access}: ClusterSpec): readonly string[] {
  const world = access.adminCidrs.find((cidr) => parseCidr(cidr)?.prefix === 0)
  if (world !== undefined && !access.allowWorld)
    throw new TypeError(`spec.access.adminCidrs holds ${world} without spec.access.allowWorld`)
  return access.adminCidrs
}

function groupsOf(frame: Frame, role: Role): RoleSecurity {
  const {stack} = frame
  const firewall = new NetworkSecurityGroup(stack, `firewall ${role}`, {
    name: named(frame, role),
    ...placed(frame),
  })
  const members = new ApplicationSecurityGroup(stack, `members ${role}`, {
    name: named(frame, role),
    ...placed(frame),
  })
  return {firewall: addressed(firewall, role), members: addressed(members, role)}
}

/**
 * The port matrix as Azure sees it: a load balancer keeps the sender's address and has no firewall of its own, so what
 * may reach it must be let in at the machines behind it, and what it sends itself are probes.
 */
function openingsOf(matrix: readonly PortRule[]): readonly Opening[] {
  const openings = new Map<string, Opening>()
  for (const rule of matrix) {
    // The nodes' way to the storage account is no opening of a firewall.
    if (rule.to === 'shared-files') continue
    const target = rule.to === 'api-balancer' ? 'control-plane' : rule.to
    const origin = originOf(rule)
    const id = `${target}-${rule.protocol}-${rule.firstPort}-from-${origin}`
    const roles =
      rule.from === 'control-plane' || rule.from === 'worker' || rule.from === 'bastion' ? [rule.from] : []
    const known = openings.get(id)?.roles ?? []
    openings.set(id, {id, target, origin, rule, roles: [...new Set([...known, ...roles])]})
  }
  return [...openings.values()]
}

function originOf({from}: PortRule): Opening['origin'] {
  if (from === 'administrators') return from
  return from === 'api-balancer' || from === 'service-balancer' ? 'balancer' : 'machines'
}

/** The same number for the same rule whatever else is asked for: Azure refuses two rules with one number on the way. */
function priorities(spec: ClusterSpec): ReadonlyMap<string, number> {
  const everything = (bastion: 'host' | 'none'): ClusterSpec => ({
    ...spec,
    provider: {
      ...spec.provider,
      azure: {
        ...spec.provider.azure,
        bastion,
        network: {...spec.provider.azure.network, mode: 'private'},
      },
    },
    network: {...spec.network, cni: 'flannel'},
    controlPlane: {...spec.controlPlane, schedulable: true},
  })
  const openings = openingsOf([...portMatrix(everything('host')), ...portMatrix(everything('none'))])
  // Two each: IPv4 and IPv6 sources do not fit into one rule.
  return new Map(openings.map(({id}, index) => [id, FIRST_PRIORITY + 2 * index]))
}

interface Source {
  readonly name: string
  readonly sourceAddressPrefix?: string
  readonly sourceAddressPrefixes?: string[]
  readonly sourceApplicationSecurityGroupIds?: string[]
}

function sourcesOf(
  {spec}: Frame,
  {id, origin, roles}: Opening,
  security: ReadonlyMap<Role, RoleSecurity>,
): readonly Source[] {
  switch (origin) {
    case 'machines':
      return [
        {
          name: id,
          sourceApplicationSecurityGroupIds: roles.map((role) => memberOf(security, role).members.id),
        },
      ]
    case 'balancer':
      return [{name: id, sourceAddressPrefix: 'AzureLoadBalancer'}]
    case 'administrators':
      return ([4, 6] as const).flatMap((family): readonly Source[] => {
        const cidrs = adminCidrs(spec).filter((cidr) => parseCidr(cidr)?.family === family)
        const name = family === 4 ? id : `${id}-v6`
        return cidrs.length === 0 ? [] : [{name, sourceAddressPrefixes: [...new Set(cidrs)].sort()}]
      })
  }
}

function allow(
  frame: Frame,
  firewall: NetworkSecurityGroup,
  {rule, origin, roles}: Opening,
  source: Source & {readonly priority: number},
): void {
  const {firstPort, lastPort, protocol, why} = rule
  // One rule stands for several lines of the matrix, which tell each its own source.
  const [what = why] = why.split(' from ')
  addressed(
    new NetworkSecurityRule(frame.stack, `allow ${source.name}`, {
      ...source,
      description: `${what} from ${roles.length === 0 ? origin : roles.join(', ')}`,
      direction: 'Inbound',
      access: 'Allow',
      protocol: protocol === 'tcp' ? 'Tcp' : 'Udp',
      sourcePortRange: '*',
      destinationAddressPrefix: '*',
      destinationPortRange: firstPort === lastPort ? String(firstPort) : `${firstPort}-${lastPort}`,
      resourceGroupName: frame.group.name,
      networkSecurityGroupName: firewall.name,
    }),
    source.name,
  )
}

/** Azure itself lets everything of a virtual network through; what stands here comes before that. */
function refuseOthers(frame: Frame, firewall: NetworkSecurityGroup, role: Role): void {
  addressed(
    new NetworkSecurityRule(frame.stack, `refuse ${role}`, {
      name: `${role}-refuse-others`,
      description: 'nothing else comes in',
      priority: LAST_PRIORITY,
      direction: 'Inbound',
      access: 'Deny',
      protocol: '*',
      sourcePortRange: '*',
      sourceAddressPrefix: '*',
      destinationAddressPrefix: '*',
      destinationPortRange: '*',
      resourceGroupName: frame.group.name,
      networkSecurityGroupName: firewall.name,
    }),
    `${role}-refuse-others`,
  )
}
