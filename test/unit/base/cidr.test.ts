import {BlockList} from 'node:net'
import fc from 'fast-check'
import {expect, test} from 'vitest'
import {
  contains,
  formatAddress,
  formatCidr,
  hostsIn,
  overlaps,
  parseAddress,
  parseCidr,
} from '../../../src/base/cidr.ts'

const ipv4 = fc.ipV4()
const ipv6 = fc.ipV6()
const cidr4 = fc.tuple(ipv4, fc.integer({min: 0, max: 32}))
const cidr6 = fc.tuple(ipv6, fc.integer({min: 0, max: 128}))

function known<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('expected a value')
  return value
}

test('an address is in a network when the reference implementation says so', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.tuple(cidr4, ipv4, fc.constant('ipv4' as const)),
        fc.tuple(cidr6, ipv6, fc.constant('ipv6' as const)),
      ),
      ([[base, prefix], address, family]) => {
        const reference = new BlockList()
        reference.addSubnet(base, prefix, family)
        const cidr = known(parseCidr(`${base}/${prefix}`))
        expect(contains(cidr, address)).toBe(reference.check(address, family))
        expect(contains(cidr, base)).toBe(true)
      },
    ),
  )
})

test('formatting and parsing an address are each other in reverse', () => {
  fc.assert(
    fc.property(fc.oneof(ipv4, ipv6), (text) => {
      const address = known(parseAddress(text))
      expect(parseAddress(formatAddress(address))).toEqual(address)
    }),
  )
})

test('overlap is mutual, and means that one holds the first address of the other', () => {
  fc.assert(
    fc.property(cidr4, cidr4, ([a, left], [b, right]) => {
      const one = known(parseCidr(`${a}/${left}`))
      const two = known(parseCidr(`${b}/${right}`))
      const first = ({base}: typeof one) => formatAddress({family: 4, value: base})
      expect(overlaps(one, two)).toBe(overlaps(two, one))
      expect(overlaps(one, two)).toBe(contains(one, first(two)) || contains(two, first(one)))
    }),
  )
})

test('a network knows whether it was named by its first address', () => {
  expect(parseCidr('10.244.0.0/16')?.canonical).toBe(true)
  expect(parseCidr('10.244.0.1/16')?.canonical).toBe(false)
  expect(formatCidr(known(parseCidr('10.244.3.1/16')))).toBe('10.244.0.0/16')
  expect(formatCidr(known(parseCidr('2001:db8:0:0:1::1/64')))).toBe('2001:db8::/64')
})

test('usable addresses leave out network and broadcast', () => {
  expect(hostsIn(known(parseCidr('10.0.0.0/24')))).toBe(254n)
  expect(hostsIn(known(parseCidr('10.0.0.0/31')))).toBe(2n)
  expect(hostsIn(known(parseCidr('fd00::/120')))).toBe(256n)
})

test('families do not mix', () => {
  expect(overlaps(known(parseCidr('0.0.0.0/0')), known(parseCidr('::/0')))).toBe(false)
  expect(contains(known(parseCidr('::/0')), '10.0.0.1')).toBe(false)
})

test.each([
  '10.0.0.0',
  '10.0.0/8',
  '10.0.0.0/33',
  '10.0.0.0/08',
  '10.0.0.0/-1',
  '::/129',
  'fe80::1%eth0/64',
  '',
  '/',
  'a/8',
  ' 10.0.0.0/8',
])('%j is no network', (text) => {
  expect(parseCidr(text)).toBeUndefined()
})
