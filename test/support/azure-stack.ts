import fc from 'fast-check'
import {cloudInitOf} from '../../src/spec/cloud-init.ts'
import type {ClusterSpec} from '../../src/spec/cluster-spec.ts'
import {loadSpec} from '../../src/spec/load.ts'
import {synthesiseAzure} from '../../stacks/azure.ts'
import type {StackInput, TerraformJson} from '../../stacks/input.ts'

export const PUBLIC_KEY =
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6v0bN5yq6e9iDk3y0m2cF7mE1b1m3H1Jx8i8q1kq2x clouder'

const VNET =
  '/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/Net/providers/Microsoft.Network/virtualNetworks/Hub'
/** A network that was brought. */
export const BROUGHT = {
  vnetId: VNET,
  subnetId: `${VNET}/subnets/nodes`,
  bastionSubnetId: `${VNET}/subnets/jump`,
}

export type AzureSettings = Readonly<Record<string, unknown>>

/** A spec for Azure as a user would write it; throws ConfigError where its rules refuse it. */
export function azureSpec(azure: AzureSettings = {}, rest: AzureSettings = {}, name = 'demo'): ClusterSpec {
  const spec = {
    provider: {kind: 'azure', azure: {location: 'westeurope', ...azure}},
    access: {adminCidrs: ['203.0.113.0/24']},
    ...rest,
  }
  const document = {apiVersion: 'clouder.dev/v1alpha1', kind: 'Cluster', metadata: {name}, spec}
  return loadSpec({text: JSON.stringify(document), file: 'cluster.yaml'})
}

/** The stack of a spec. */
export function azureStack(spec: ClusterSpec, more: Partial<StackInput> = {}): TerraformJson {
  return synthesiseAzure({
    spec,
    sshPublicKey: PUBLIC_KEY,
    cloudInit: cloudInitOf(PUBLIC_KEY),
    imageIds: {},
    ...more,
  })
}

/** Everything at once: what a rule is about is somewhere in it. */
export const richSpec = (): ClusterSpec =>
  azureSpec(
    {zones: ['3', '1', '2'], sharedFiles: true, tags: {team: 'data'}},
    {
      controlPlane: {count: 3, diskGiB: 100},
      workers: [
        {name: 'worker', count: 2},
        {name: 'cheap', count: 2, spot: true, labels: {kind: 'batch'}},
        {name: 'arm', count: 1, size: 'Standard_D4ps_v5', diskGiB: 30},
      ],
      access: {adminCidrs: ['203.0.113.7/32', '2001:db8::/32', '10.8.0.0/16']},
    },
  )

const cidr = fc.constantFrom(
  '203.0.113.0/24',
  '198.51.100.7/32',
  '198.51.100.8/31',
  '10.8.0.0/16',
  '2001:db8::/32',
)
const size = fc.constantFrom(
  undefined,
  'Standard_D2s_v5',
  'Standard_D4ps_v5',
  'Standard_B2ms',
  'Standard_DS2_v2',
  'Standard_D2_v3',
  'Standard_NC24ads_A100_v4',
)
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, {nil: undefined})
const diskGiB = maybe(fc.integer({min: 30, max: 500}))

const azureSettings = fc.record({
  zones: fc.subarray(['1', '2', '3']),
  network: fc.record({
    mode: fc.constantFrom('private', 'public'),
    cidr: fc.constantFrom('10.0.0.0/16', '172.16.4.0/22'),
    existing: maybe(fc.constant(BROUGHT)),
  }),
  bastion: fc.constantFrom('host', 'none'),
  api: fc.constantFrom('public', 'internal'),
  image: fc.constantFrom('debian-13', 'debian-12', 'ubuntu-24.04', 'ubuntu-22.04'),
  resourceGroup: maybe(fc.constantFrom('Shared', 'rg-1')),
  sharedFiles: fc.boolean(),
  tags: fc.dictionary(fc.constantFrom('team', 'Cost Centre', '${x}'), fc.string({maxLength: 20})),
  checkpointRetentionDays: fc.integer({min: 1, max: 3650}),
  diskEncryptionSetId: maybe(fc.constant('/subscriptions/s/resourceGroups/g/x/diskEncryptionSets/d')),
})

const otherSettings = fc.record({
  controlPlane: fc.record({
    count: fc.constantFrom(1, 3, 5),
    size,
    diskGiB,
    schedulable: fc.boolean(),
  }),
  workers: fc.uniqueArray(
    fc.record({
      name: fc.constantFrom('worker', 'gpu', '3d', 'pool-worker', 'control-plane', 'bastion', 'api'),
      count: fc.integer({min: 0, max: 3}),
      spot: fc.boolean(),
      size,
      diskGiB,
    }),
    {selector: ({name}) => name, maxLength: 4},
  ),
  network: fc.record({cni: fc.constantFrom('flannel', 'none')}),
  access: fc.uniqueArray(cidr, {minLength: 1, maxLength: 4}).chain((adminCidrs) => fc.constant({adminCidrs})),
})

/** Any spec that the rules of specs let pass. */
export const anyAzureSpec: fc.Arbitrary<ClusterSpec> = fc
  .tuple(azureSettings, otherSettings, fc.constantFrom('demo', 'prod-eu', '9lives'))
  .map(([azure, rest, name]) => azureSpec(azure, rest, name))
