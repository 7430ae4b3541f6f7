import {AwsProvider} from '@cdktf/provider-aws/lib/provider/index.js'
import type {TerraformStack} from 'cdktf'
import {CLOUD_USER} from '../src/spec/cloud-init.ts'
import {apiBalancersOf} from './aws/balancer.ts'
import {type Frame, frameOf} from './aws/frame.ts'
import {identitiesOf} from './aws/identities.ts'
import {imagesOf} from './aws/images.ts'
import {bastionOf, keyPairOf, nodesOf} from './aws/machines.ts'
import {type AwsNetwork, networkOf} from './aws/network.ts'
import {endpointOutput, machineOutput, writeOutputs} from './aws/outputs.ts'
import {securityOf, type SecurityGroups} from './aws/security.ts'
import {bucketOf, sharedFilesOf} from './aws/storage.ts'
import type {StackInput, TerraformJson} from './input.ts'
import {synthesised} from './synth.ts'

/** The Terraform configuration of a cluster on AWS; throws TypeError for a spec without region. */
export function synthesiseAws(input: StackInput): TerraformJson {
  return synthesised(input.spec, {name: 'aws', version: '~> 6.0'}, (stack) => {
    build(stack, input)
  })
}

function build(stack: TerraformStack, input: StackInput): void {
  const frame = frameOf(stack, input)
  const {aws, region} = frame
  // Profile and credentials come from the environment, so that a pipeline uses its own.
  new AwsProvider(stack, 'aws', {
    region,
    ...(aws.account === undefined ? {} : {allowedAccountIds: [aws.account]}),
  })
  const network = networkOf(frame)
  const groups = securityOf(frame, network)
  const bucket = bucketOf(frame)
  const identities = identitiesOf(frame, bucket.arn)
  const around = {network, groups, identities, imageOf: imagesOf(frame), keyName: keyPairOf(frame)}
  const nodes = nodesOf(frame, around)
  const bastion = bastionOf(frame, around)
  const balancers = apiBalancersOf(frame, network, groups, nodes)
  const fileSystemId = sharedFilesOf(frame, network, groups)
  writeOutputs(frame, {
    machines: nodes.map((node) => machineOutput(frame, node)),
    endpoint: endpointOutput(frame, balancers),
    ...(bastion === undefined
      ? {}
      : {bastion: {address: bastion.address, user: CLOUD_USER, cloudId: bastion.instance.id}}),
    checkpoints: bucket.id,
    addons: {
      ...networkFacts(frame, network, groups),
      controlPlaneRoleArn: identities['control-plane'].roleArn,
      workerRoleArn: identities.worker.roleArn,
      ...(fileSystemId === undefined ? {} : {fileSystemId}),
      ...(aws.kmsKeyId === undefined ? {} : {kmsKeyId: aws.kmsKeyId}),
    },
  })
}

function networkFacts(frame: Frame, network: AwsNetwork, groups: SecurityGroups): Record<string, string> {
  return {
    region: frame.region,
    vpcId: network.vpcId,
    nodeSubnetIds: network.zones.map(({nodes}) => nodes).join(','),
    publicSubnetIds: network.publicSubnetIds.join(','),
    controlPlaneSecurityGroupId: groups['control-plane'],
    workerSecurityGroupId: groups.worker,
    // `--backend-security-group` of the load balancer controller: node ports admit nobody else.
    serviceBalancerSecurityGroupId: groups['service-balancer'],
  }
}
