import {expect, test} from 'vitest'
import {cloudMachine, hasBastionHost, hasPublicAccess} from '../../../src/spec/cloud-machines.ts'
import {problemsOf, specWith} from './documents.ts'

const access = {adminCidrs: ['203.0.113.7/32']}
const aws = (settings: object = {}, more: object = {}) => ({
  provider: {kind: 'aws', aws: settings},
  access,
  ...more,
})
const azure = (settings: object = {}, more: object = {}) => ({
  provider: {kind: 'azure', azure: settings},
  access,
  ...more,
})
const VNET = '/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/virtualNetworks/v'

test('a cloud cluster is private behind a jump host, with its API open to administrators', () => {
  for (const spec of [specWith(aws()), specWith(azure())]) {
    expect(hasBastionHost(spec)).toBe(true)
    expect(hasPublicAccess(spec)).toBe(true)
  }
})

test('machines have sizes nobody has to name', () => {
  const spec = specWith(aws({}, {workers: [{name: 'gpu', size: 'g5.xlarge', diskGiB: 200, spot: true}, {}]}))
  expect(cloudMachine(spec, undefined)).toEqual({size: 't3.medium', diskGiB: 50, spot: false})
  expect(cloudMachine(spec, 'gpu')).toEqual({size: 'g5.xlarge', diskGiB: 200, spot: true})
  expect(cloudMachine(spec, 'worker')).toEqual({size: 't3.large', diskGiB: 50, spot: false})
})

test('Session Manager goes with images that have its agent, and with nodes that it is not needed for', () => {
  for (const settings of [
    {image: 'ubuntu-24.04'},
    {imageId: 'ami-0123456789abcdef0'},
    {network: {mode: 'public'}},
  ]) {
    expect(() => specWith(aws({bastion: 'ssm', ...settings}))).not.toThrow()
  }
})

test('an internal cluster that is reached from inside needs no administrators’ networks', () => {
  const inside = {provider: {kind: 'aws', aws: {api: 'internal', bastion: 'none'}}}
  expect(hasPublicAccess(specWith(inside))).toBe(false)
})

test.each([
  [
    'a public address without administrators’ networks',
    {provider: {kind: 'aws'}},
    /^spec\.access\.adminCidrs: is required, because part of the cluster has a public address/,
  ],
  [
    'the whole internet as administrators',
    {...aws(), access: {adminCidrs: ['0.0.0.0/0']}},
    /^spec\.access\.adminCidrs\[0\]: admits the whole internet/,
  ],
  [
    'half of the world as administrators',
    {...aws(), access: {adminCidrs: ['203.0.113.7/32', '128.0.0.0/1']}},
    /^spec\.access\.adminCidrs\[1\]: admits a large part of the internet/,
  ],
  ['two zones', aws({zones: ['a', 'b']}), /^spec\.provider\.aws\.zones: are two/],
  ['a zone twice', aws({zones: ['a', 'b', 'a']}), /^spec\.provider\.aws\.zones\[2\]: is not a zone letter/],
  ['a zone for a region', aws({region: 'eu-central-1a'}), /^spec\.provider\.aws\.region: is not a region/],
  [
    'Session Manager without its agent',
    aws({bastion: 'ssm'}),
    /^spec\.provider\.aws\.bastion: needs the Session/,
  ],
  [
    'the alias of a key',
    aws({kmsKeyId: 'alias/mine'}),
    /^spec\.provider\.aws\.kmsKeyId: is not the ARN of a key/,
  ],
  ['a short account', aws({account: '12345'}), /^spec\.provider\.aws\.account: is not an account/],
  ['a range that is too small', aws({network: {cidr: '10.0.0.0/24'}}), /network\.cidr: must be an IPv4/],
  ['a range that holds the pods', aws({network: {cidr: '10.244.0.0/16'}}), /overlaps spec\.network\.podCidr/],
  [
    'too few subnets of an existing VPC',
    aws({network: {existing: {vpcId: 'vpc-1', privateSubnetIds: ['subnet-1']}}}),
    /existing\.publicSubnetIds: needs one subnet for each of 1 zones/,
  ],
  [
    'a subnet for a virtual network',
    azure({network: {existing: {vnetId: `${VNET}/subnets/a`, subnetId: `${VNET}/subnets/a`}}}),
    /existing\.vnetId: is not the id of a virtual network/,
  ],
  [
    'a virtual network for a subnet',
    azure({network: {existing: {vnetId: VNET, subnetId: VNET}}}),
    /existing\.subnetId: is not the id of a subnet/,
  ],
  [
    'a subnet of another virtual network',
    azure({network: {existing: {vnetId: VNET, subnetId: `${VNET}2/subnets/a`}}}),
    /existing\.subnetId: is not a subnet of \/subscriptions\/s\//,
  ],
  [
    'a jump host in another virtual network',
    azure({
      network: {
        existing: {vnetId: VNET, subnetId: `${VNET}/subnets/a`, bastionSubnetId: `${VNET}2/subnets/a`},
      },
    }),
    /existing\.bastionSubnetId: is not a subnet of/,
  ],
  [
    'a disk that is smaller than the images of Azure',
    azure({}, {controlPlane: {diskGiB: 30}, workers: [{}, {name: 'small', diskGiB: 29}]}),
    /^spec\.workers\[1\]\.diskGiB: is smaller than the images of Azure: 30/,
  ],
  ['a subscription’s name', azure({subscription: 'Production'}), /azure\.subscription: is not the UUID/],
  [
    'a size at home',
    {workers: [{size: 't3.large'}]},
    /^spec\.workers\[0\]\.size: is for machines created in a cloud/,
  ],
  ['a spot machine at home', {workers: [{spot: true}]}, /^spec\.workers\[0\]\.spot: is for machines created/],
  ['a backend without its place', {state: {backend: 's3'}}, /^spec\.state\.s3: is required with backend s3/],
])('%s is refused', (_what, spec, problem) => {
  const problems = problemsOf(() => specWith(spec))
  expect(problems).toHaveLength(1)
  expect(problems[0]).toMatch(problem)
})

test('subnets of the virtual network are taken, however their ids are written', () => {
  const existing = {
    vnetId: VNET,
    subnetId: `${VNET.toLowerCase()}/subnets/nodes`,
    bastionSubnetId: `${VNET}/subnets/ssh`,
  }
  expect(() => specWith(azure({network: {existing}}))).not.toThrow()
})

test('the whole internet may come in when that is meant', () => {
  const spec = specWith({...aws(), access: {adminCidrs: ['0.0.0.0/0'], allowWorld: true}})
  expect(spec.access.adminCidrs).toEqual(['0.0.0.0/0'])
})
