import {LbListener} from '@cdktf/provider-aws/lib/lb-listener/index.js'
import {LbTargetGroupAttachment} from '@cdktf/provider-aws/lib/lb-target-group-attachment/index.js'
import {LbTargetGroup} from '@cdktf/provider-aws/lib/lb-target-group/index.js'
import {Lb} from '@cdktf/provider-aws/lib/lb/index.js'
import {API_PORT} from '../../src/spec/syntax.ts'
import {add, type Frame, namedWithin, tagsOf} from './frame.ts'
import type {NodeMachine} from './machines.ts'
import type {AwsNetwork} from './network.ts'
import type {SecurityGroups} from './security.ts'

/** Names under which the API answers. */
export interface ApiBalancers {
  /** What nodes use. It never becomes another, so that `api` may change in a cluster that runs. */
  readonly internal: string
  /** What administrators use; undefined: the internal one. */
  readonly public: string | undefined
}

/**
 * A network load balancer inside the network and, if asked for, one with a public address. Nodes never go through
 * the public one: they would leave by address translation, and come back as somebody whom no security group knows.
 */
export function apiBalancersOf(
  frame: Frame,
  network: AwsNetwork,
  groups: SecurityGroups,
  nodes: readonly NodeMachine[],
): ApiBalancers {
  const controlPlanes = nodes.filter(({node}) => node.role === 'control-plane')
  const balancer = (name: 'api' | 'api-public', subnets: readonly string[]): string => {
    const made = balancerOf(frame, name, subnets, groups['api-balancer'], network)
    const targets = targetsOf(frame, name, network, controlPlanes)
    add(frame, LbListener, name, {
      loadBalancerArn: made.arn,
      port: API_PORT,
      protocol: 'TCP',
      defaultAction: [{type: 'forward', targetGroupArn: targets.arn}],
      tags: tagsOf(frame, name),
    })
    return made.dnsName
  }
  const inside = network.zones.map(({nodes: subnet}) => subnet)
  return {
    internal: balancer('api', inside),
    public: frame.aws.api === 'public' ? balancer('api-public', network.publicSubnetIds) : undefined,
  }
}

function balancerOf(
  frame: Frame,
  name: 'api' | 'api-public',
  subnets: readonly string[],
  group: string,
  network: AwsNetwork,
): Lb {
  return add(frame, Lb, name, {
    name: namedWithin(32, frame, name),
    loadBalancerType: 'network',
    internal: name === 'api',
    subnets: [...subnets],
    securityGroups: [group],
    // A zone may have no control plane.
    enableCrossZoneLoadBalancing: true,
    ...(frame.aws.deletionProtection ? {enableDeletionProtection: true} : {}),
    tags: tagsOf(frame, name),
    dependsOn: [...network.gateway],
  })
}

function targetsOf(
  frame: Frame,
  name: string,
  network: AwsNetwork,
  controlPlanes: readonly NodeMachine[],
): LbTargetGroup {
  const targets = add(frame, LbTargetGroup, name, {
    name: namedWithin(32, frame, name),
    port: API_PORT,
    protocol: 'TCP',
    targetType: 'instance',
    vpcId: network.vpcId,
    // With its own address as the client's, a control plane would not reach itself through the balancer.
    preserveClientIp: 'false',
    deregistrationDelay: '30',
    healthCheck: {
      protocol: 'HTTPS',
      path: '/readyz',
      interval: 10,
      timeout: 5,
      healthyThreshold: 2,
      unhealthyThreshold: 2,
    },
    tags: tagsOf(frame, name),
  })
  for (const {node, instance} of controlPlanes) {
    add(frame, LbTargetGroupAttachment, `${name}_${node.name}`, {
      targetGroupArn: targets.arn,
      targetId: instance.id,
      port: API_PORT,
    })
  }
  return targets
}
