import type {Frame} from './frame.ts'
import {allow, arn, EVERYTHING, onOwned, type Statement} from './statements.ts'

/**
 * For the AWS Load Balancer Controller without its parts for WAF, Shield and Cognito. It tags what it makes with the
 * name that it was given for the cluster.
 */
export function loadBalancers(frame: Frame): readonly Statement[] {
  const name = frame.spec.name
  const made = {StringEquals: {'aws:RequestTag/elbv2.k8s.aws/cluster': name}}
  const own = {StringEquals: {'aws:ResourceTag/elbv2.k8s.aws/cluster': name}}
  const group = arn(frame, 'ec2', 'security-group/*')
  const elb = (kind: string): string => arn(frame, 'elasticloadbalancing', `${kind}/*`)
  const balancer = elb('loadbalancer')
  const targets = elb('targetgroup')
  const listeners = [elb('listener'), elb('listener-rule')]
  const rules = ['ec2:AuthorizeSecurityGroupIngress', 'ec2:RevokeSecurityGroupIngress']
  return [
    ...lookUpBalancers(frame),
    allow('OpenNodes', rules, group, onOwned(frame)),
    allow('OpenBalancers', [...rules, 'ec2:DeleteSecurityGroup', 'ec2:DeleteTags'], group, own),
    allow('MakeGroups', ['ec2:CreateSecurityGroup'], group, made),
    allow('MakeGroupsInNetwork', ['ec2:CreateSecurityGroup'], arn(frame, 'ec2', 'vpc/*')),
    allow('TagGroups', ['ec2:CreateTags'], group, {
      StringEquals: {...made.StringEquals, 'ec2:CreateAction': 'CreateSecurityGroup'},
    }),
    allow('RetagGroups', ['ec2:CreateTags'], group, own),
    allow(
      'MakeBalancers',
      ['elasticloadbalancing:CreateLoadBalancer', 'elasticloadbalancing:CreateTargetGroup'],
      [balancer, targets],
      made,
    ),
    allow('TagBalancers', ['elasticloadbalancing:AddTags'], [balancer, targets, ...listeners], made),
    allow('ChangeBalancers', CHANGE_BALANCERS, [balancer, targets, ...listeners], own),
  ]
}

const CHANGE_BALANCERS = [
  'AddListenerCertificates',
  'AddTags',
  'CreateListener',
  'CreateRule',
  'DeleteListener',
  'DeleteLoadBalancer',
  'DeleteRule',
  'DeleteTargetGroup',
  'DeregisterTargets',
  'ModifyListener',
  'ModifyListenerAttributes',
  'ModifyLoadBalancerAttributes',
  'ModifyRule',
  'ModifyTargetGroup',
  'ModifyTargetGroupAttributes',
  'RegisterTargets',
  'RemoveListenerCertificates',
  'RemoveTags',
  'SetIpAddressType',
  'SetRulePriorities',
  'SetSecurityGroups',
  'SetSubnets',
].map((action) => `elasticloadbalancing:${action}`)

function lookUpBalancers(frame: Frame): readonly Statement[] {
  const ec2 = [
    'DescribeAccountAttributes',
    'DescribeAddresses',
    'DescribeAvailabilityZones',
    'DescribeInstances',
    'DescribeInternetGateways',
    'DescribeNetworkInterfaces',
    'DescribeRouteTables',
    'DescribeSecurityGroups',
    'DescribeSubnets',
    'DescribeTags',
    'DescribeVpcPeeringConnections',
    'DescribeVpcs',
  ]
  const elb = [
    'DescribeCapacityReservation',
    'DescribeListenerAttributes',
    'DescribeListenerCertificates',
    'DescribeListeners',
    'DescribeLoadBalancerAttributes',
    'DescribeLoadBalancers',
    'DescribeRules',
    'DescribeSSLPolicies',
    'DescribeTags',
    'DescribeTargetGroupAttributes',
    'DescribeTargetGroups',
    'DescribeTargetHealth',
    'DescribeTrustStores',
  ]
  const actions = [
    ...ec2.map((action) => `ec2:${action}`),
    ...elb.map((action) => `elasticloadbalancing:${action}`),
    'acm:ListCertificates',
  ]
  const linked = 'elasticloadbalancing.amazonaws.com'
  return [
    allow('LookUpBalancers', actions, EVERYTHING),
    allow('LookUpCertificates', ['acm:DescribeCertificate'], arn(frame, 'acm', 'certificate/*')),
    allow('LookUpGroupsOfNetwork', ['ec2:GetSecurityGroupsForVpc'], arn(frame, 'ec2', 'vpc/*')),
    allow(
      'LetBalancersWork',
      ['iam:CreateServiceLinkedRole'],
      `arn:${frame.partition}:iam::*:role/aws-service-role/${linked}/*`,
      {StringEquals: {'iam:AWSServiceName': linked}},
    ),
  ]
}
