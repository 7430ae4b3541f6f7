import {SecurityGroup} from '@cdktf/provider-aws/lib/security-group/index.js'
import {VpcSecurityGroupEgressRule} from '@cdktf/provider-aws/lib/vpc-security-group-egress-rule/index.js'
import {VpcSecurityGroupIngressRule} from '@cdktf/provider-aws/lib/vpc-security-group-ingress-rule/index.js'
import {parseCidr} from '../../src/base/cidr.ts'
import {portMatrix, type PortRule, type PortSource, type PortTarget} from '../ports.ts'
import {add, type Frame, namedWithin, tagsOf} from './frame.ts'
import {type AwsNetwork, WORLD} from './network.ts'

type GroupName = Exclude<PortSource | PortTarget, 'administrators'>

/** Ids of the security groups by whom they are for; absent: there is nobody of that kind. */
export type SecurityGroups = Readonly<Partial<Record<GroupName, string>>> &
  Readonly<Record<'control-plane' | 'worker' | 'api-balancer' | 'service-balancer', string>>

const WHAT: Readonly<Record<GroupName, string>> = {
  'control-plane': 'control planes',
  worker: 'workers',
  bastion: 'jump host',
  'api-balancer': 'load balancers of the Kubernetes API',
  'service-balancer': 'load balancers of services, made by the load balancer controller',
  'shared-files': 'shared file system',
}

/**
 * One group for each role with the openings of the port matrix. A machine is in exactly one: the controllers of AWS
 * refuse a node with two groups that carry the tag of the cluster.
 */
export function securityOf(frame: Frame, network: AwsNetwork): SecurityGroups {
  const rules = portMatrix(frame.spec)
  const group = (name: GroupName): string => groupOf(frame, network, name)
  const isUsed = (name: GroupName): boolean => rules.some(({from, to}) => from === name || to === name)
  const groups = {
    'control-plane': group('control-plane'),
    worker: group('worker'),
    'api-balancer': group('api-balancer'),
    'service-balancer': group('service-balancer'),
    ...(isUsed('bastion') ? {bastion: group('bastion')} : {}),
    ...(isUsed('shared-files') ? {'shared-files': group('shared-files')} : {}),
  }
  for (const rule of rules) {
    ingress(frame, network, groups, rule)
    // Nodes may go anywhere; the others only where they are expected.
    if (rule.from !== 'administrators' && !isNode(rule.from)) egress(frame, groups, rule)
  }
  for (const name of ['control-plane', 'worker'] as const) {
    outward(frame, groups[name], `${name}_to_world`, {
      ipProtocol: '-1',
      description: 'packages, registries and APIs that the cluster uses',
    })
  }
  if (groups.bastion !== undefined) {
    for (const port of [80, 443]) {
      const rule = {ipProtocol: 'tcp', fromPort: port, toPort: port, description: 'security updates'}
      outward(frame, groups.bastion, `bastion_to_world_${port}`, rule)
    }
  }
  return groups
}

const isNode = (name: PortSource): boolean => name === 'control-plane' || name === 'worker'

function groupOf(frame: Frame, network: AwsNetwork, name: GroupName): string {
  return add(frame, SecurityGroup, name, {
    name: namedWithin(255, frame, name),
    description: `${frame.spec.name}: ${WHAT[name]}`,
    vpcId: network.vpcId,
    // Rules refer to each other's groups, and controllers add some: only without rules can all be deleted.
    revokeRulesOnDelete: true,
    tags: tagsOf(frame, name),
  }).id
}

function ingress(frame: Frame, network: AwsNetwork, groups: SecurityGroups, rule: PortRule): void {
  const opening = {...portsOf(rule), securityGroupId: idOf(groups, rule.to), description: rule.why}
  if (rule.from !== 'administrators') {
    add(frame, VpcSecurityGroupIngressRule, rule.id, {
      ...opening,
      referencedSecurityGroupId: idOf(groups, rule.from),
      tags: tagsOf(frame, rule.id),
    })
    return
  }
  const {adminCidrs} = frame.spec.access
  for (const cidr of new Set(adminCidrs)) {
    const name = `${rule.id}_${cidr.replaceAll(/[^0-9a-f]/gi, '_')}`
    add(frame, VpcSecurityGroupIngressRule, name, {
      ...opening,
      ...(parseCidr(cidr)?.family === 6 ? {cidrIpv6: cidr} : {cidrIpv4: cidr}),
      tags: tagsOf(frame, name),
    })
  }
  // Nothing has a public address then, and administrators come from inside the network.
  if (adminCidrs.length === 0) {
    const name = `${rule.id}_inside`
    add(frame, VpcSecurityGroupIngressRule, name, {
      ...opening,
      cidrIpv4: network.cidr,
      tags: tagsOf(frame, name),
    })
  }
}

function egress(frame: Frame, groups: SecurityGroups, rule: PortRule): void {
  if (rule.from === 'administrators') return
  const name = `${rule.from}_to_${rule.to}_${rule.firstPort}`
  add(frame, VpcSecurityGroupEgressRule, name, {
    ...portsOf(rule),
    description: `${rule.why}: the way out`,
    securityGroupId: idOf(groups, rule.from),
    referencedSecurityGroupId: idOf(groups, rule.to),
    tags: tagsOf(frame, name),
  })
}

interface OutwardRule {
  readonly ipProtocol: string
  readonly description: string
  readonly fromPort?: number
  readonly toPort?: number
}

function outward(frame: Frame, securityGroupId: string, name: string, rule: OutwardRule): void {
  const tags = tagsOf(frame, name)
  add(frame, VpcSecurityGroupEgressRule, name, {...rule, securityGroupId, cidrIpv4: WORLD, tags})
}

function portsOf({protocol, firstPort, lastPort}: PortRule) {
  return {ipProtocol: protocol, fromPort: firstPort, toPort: lastPort}
}

function idOf(groups: SecurityGroups, name: GroupName): string {
  const id = groups[name]
  if (id === undefined) throw new TypeError(`there is no security group for ${name}`)
  return id
}
