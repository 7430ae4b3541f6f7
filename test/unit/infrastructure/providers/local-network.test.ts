import {expect, test} from 'vitest'
import {
  assignAddresses,
  chooseSubnet,
  dynamicRange,
} from '../../../../src/infrastructure/providers/local-network.ts'

test.each([
  ['nothing is taken', [], '172.30.0.0/24'],
  ['a host route has the first', ['172.30.0.0/24'], '172.30.1.0/24'],
  ['a network of another size overlaps', ['172.30.0.0/22', '10.0.0.0/8'], '172.30.4.0/24'],
  ['the pod network lies inside one', ['172.30.0.128/25'], '172.30.1.0/24'],
  ['an IPv6 network is taken', ['fd00::/8'], '172.30.0.0/24'],
])('the first free /24 is chosen when %s', (_, taken, subnet) => {
  expect(chooseSubnet(taken)).toBe(subnet)
})

test('a pool that is taken as a whole is an error that names the way out', () => {
  expect(() => chooseSubnet(['172.16.0.0/12'])).toThrow(
    /no free \/24 network for the nodes in 172\.30\.0\.0\/16/,
  )
})

test('containers without a fixed address get the upper half', () => {
  expect(dynamicRange('172.30.3.0/24')).toBe('172.30.3.128/25')
})

test('nodes keep their addresses, and new ones get the lowest that nobody has', () => {
  const existing = new Map([
    ['worker-1', '172.30.0.3'],
    ['gone', '172.30.0.4'],
  ])
  const assigned = assignAddresses(
    ['cp-1', 'worker-1', 'worker-2'],
    existing,
    ['172.30.0.5'],
    '172.30.0.0/24',
  )
  expect([...assigned]).toEqual([
    ['cp-1', '172.30.0.2'],
    ['worker-1', '172.30.0.3'],
    ['worker-2', '172.30.0.6'],
  ])
})

test('a subnet that is too small for the nodes is an error', () => {
  expect(() => assignAddresses(['a', 'b', 'c'], new Map(), [], '172.30.0.0/29')).toThrow(
    /no address left for node c/,
  )
})
