import {Flags} from '@oclif/core'

/** The flags that describe a cluster; the same on every command that takes a description. */
export const specFlags = {
  config: Flags.string({
    char: 'f',
    description: 'file that describes the cluster; flags override it',
    env: 'CLOUDER_CONFIG',
    helpValue: 'FILE',
    helpGroup: 'CLUSTER',
  }),
  provider: Flags.string({
    description: 'where machines come from',
    env: 'CLOUDER_PROVIDER',
    options: ['local', 'byon'],
    helpGroup: 'CLUSTER',
  }),
  kubernetes: Flags.string({
    description: 'Kubernetes version',
    env: 'CLOUDER_KUBERNETES',
    helpValue: 'VERSION',
    helpGroup: 'CLUSTER',
  }),
  'control-planes': Flags.integer({
    description: 'number of control planes',
    env: 'CLOUDER_CONTROL_PLANES',
    helpValue: 'N',
    helpGroup: 'CLUSTER',
  }),
  workers: Flags.integer({
    description: 'number of workers of the first pool',
    env: 'CLOUDER_WORKERS',
    helpValue: 'N',
    helpGroup: 'CLUSTER',
  }),
  'admin-cidr': Flags.string({
    description: 'network that may reach the API and SSH, separated by commas',
    env: 'CLOUDER_ADMIN_CIDR',
    helpValue: 'CIDR,…',
    helpGroup: 'CLUSTER',
    multiple: true,
    multipleNonGreedy: true,
    delimiter: ',',
  }),
  'node-image': Flags.string({
    description: 'operating system of local nodes',
    env: 'CLOUDER_NODE_IMAGE',
    options: ['debian-12', 'debian-13'],
    helpGroup: 'CLUSTER',
  }),
  'pod-cidr': Flags.string({
    description: 'network of pods',
    env: 'CLOUDER_POD_CIDR',
    helpValue: 'CIDR',
    helpGroup: 'CLUSTER',
  }),
  'service-cidr': Flags.string({
    description: 'network of services',
    env: 'CLOUDER_SERVICE_CIDR',
    helpValue: 'CIDR',
    helpGroup: 'CLUSTER',
  }),
  cni: Flags.string({
    description: 'pod network',
    env: 'CLOUDER_CNI',
    options: ['flannel', 'none'],
    helpGroup: 'CLUSTER',
  }),
}
