import {DeleteLoadBalancerCommand as DeleteClassicCommand} from '@aws-sdk/client-elastic-load-balancing'
import {DeleteLoadBalancerCommand, DeleteTargetGroupCommand} from '@aws-sdk/client-elastic-load-balancing-v2'
import {type AwsApi, call} from './api.ts'

/** By its ARN, with its listeners; one of the first kind by its name. */
export async function removeBalancer({elb, elbv2}: AwsApi, id: string, signal: AbortSignal): Promise<void> {
  await call('elasticloadbalancing:DeleteLoadBalancer', signal, async (options) =>
    id.startsWith('arn:')
      ? await elbv2.send(new DeleteLoadBalancerCommand({LoadBalancerArn: id}), options)
      : await elb.send(new DeleteClassicCommand({LoadBalancerName: id}), options),
  )
}

export async function removeTargetGroup({elbv2}: AwsApi, id: string, signal: AbortSignal): Promise<void> {
  await call('elasticloadbalancing:DeleteTargetGroup', signal, (options) =>
    elbv2.send(new DeleteTargetGroupCommand({TargetGroupArn: id}), options),
  )
}
