import {CLOUD_USER} from '../../src/spec/cloud-init.ts'
import {API_PORT, parseEndpoint} from '../../src/spec/syntax.ts'
import type {MachineOutput, StackOutputs} from '../input.ts'
import type {ApiBalancers} from './balancer.ts'
import type {Frame} from './frame.ts'
import type {NodeMachine} from './machines.ts'

/** What a node says of itself, as the cloud provider would write it. */
export function machineOutput({region}: Frame, {node, size, instance, address}: NodeMachine): MachineOutput {
  const zone = instance.availabilityZone
  return {
    name: node.name,
    role: node.role,
    ...(node.pool === undefined ? {} : {pool: node.pool}),
    address,
    privateAddress: instance.privateIp,
    ssh: {user: CLOUD_USER, port: 22},
    labels: {
      ...node.labels,
      'topology.kubernetes.io/region': region,
      'topology.kubernetes.io/zone': zone,
      'node.kubernetes.io/instance-type': size,
    },
    taints: [...node.taints],
    providerId: `aws:///${zone}/${instance.id}`,
    cloudId: instance.id,
    imageId: instance.ami,
  }
}

/** Where the API answers: at the balancers, unless the spec names something that stands before them. */
export function endpointOutput({spec}: Frame, balancers: ApiBalancers): StackOutputs['endpoint'] {
  const names = [balancers.internal, ...(balancers.public === undefined ? [] : [balancers.public])]
  const own = spec.api.endpoint === undefined ? undefined : parseEndpoint(spec.api.endpoint)
  if (own !== undefined) {
    const host = own.host.includes(':') ? `[${own.host}]` : own.host
    const both = `${host}:${own.port}`
    return {internal: both, external: both, certSans: [own.host, ...names]}
  }
  return {
    internal: `${balancers.internal}:${API_PORT}`,
    external: `${balancers.public ?? balancers.internal}:${API_PORT}`,
    certSans: names,
  }
}

/** Every output, none of them secret. */
export function writeOutputs({stack}: Frame, outputs: StackOutputs): void {
  const entries: readonly (readonly [string, unknown])[] = Object.entries(outputs)
  for (const [name, value] of entries) {
    // cdktf's own class for outputs makes Node warn of a deprecated function, on the terminal of the user.
    if (value !== undefined) stack.addOverride(`output.${name}`, {value})
  }
}
