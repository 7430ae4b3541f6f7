import {isIPv4, isIPv6} from 'node:net'

export interface Address {
  readonly family: 4 | 6
  readonly value: bigint
}

export interface Cidr {
  readonly family: 4 | 6
  /** First address of the network, host bits cleared. */
  readonly base: bigint
  readonly prefix: number
  /** Whether the text named the network itself: `10.0.0.0/8`, not `10.1.2.3/8`. */
  readonly canonical: boolean
}

const widthOf = {4: 32, 6: 128} as const

/** An IPv4 or IPv6 address as a number; undefined for anything else, zone indexes included. */
export function parseAddress(text: string): Address | undefined {
  if (isIPv4(text)) return {family: 4, value: bytesToNumber(text.split('.').map(Number), 8n)}
  if (!isIPv6(text) || text.includes('%')) return undefined
  const withoutDots = text.replace(/[\d.]+$/, (tail) => {
    if (!tail.includes('.')) return tail
    const [a = 0, b = 0, c = 0, d = 0] = tail.split('.').map(Number)
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
  })
  const [head = '', tail] = withoutDots.split('::')
  const left = groupsOf(head)
  const right = groupsOf(tail ?? '')
  const gap = Array.from({length: 8 - left.length - right.length}, () => 0)
  return {family: 6, value: bytesToNumber([...left, ...gap, ...right], 16n)}
}

/** A network in CIDR notation; undefined for anything else. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(text)
  const address = parseAddress(match?.[1] ?? '')
  const prefix = Number(match?.[2])
  if (address === undefined || prefix > widthOf[address.family] || String(prefix) !== match?.[2])
    return undefined
  const base = (address.value >> hostBits(address.family, prefix)) << hostBits(address.family, prefix)
  return {family: address.family, base, prefix, canonical: base === address.value}
}

/** Whether an address lies in a network; false for text that is no IP address. */
export function contains(cidr: Cidr, address: string): boolean {
  const parsed = parseAddress(address)
  return (
    parsed?.family === cidr.family &&
    parsed.value >= cidr.base &&
    parsed.value < cidr.base + addressesIn(cidr)
  )
}

/** Whether two networks share an address. */
export function overlaps(a: Cidr, b: Cidr): boolean {
  return a.family === b.family && a.base < b.base + addressesIn(b) && b.base < a.base + addressesIn(a)
}

/** Addresses that machines can have: without network and broadcast address where there are such. */
export function hostsIn(cidr: Cidr): bigint {
  const addresses = addressesIn(cidr)
  return cidr.family === 4 && addresses > 2n ? addresses - 2n : addresses
}

export function addressesIn(cidr: Cidr): bigint {
  return 1n << hostBits(cidr.family, cidr.prefix)
}

/** `10.244.0.0/16` for `10.244.3.1/16`. */
export function formatCidr(cidr: Cidr): string {
  return `${formatAddress({family: cidr.family, value: cidr.base})}/${cidr.prefix}`
}

export function formatAddress({family, value}: Address): string {
  const size = family === 4 ? 8n : 16n
  const count = family === 4 ? 4 : 8
  const parts = Array.from(
    {length: count},
    (_, index) => (value >> (size * BigInt(count - 1 - index))) & ((1n << size) - 1n),
  )
  if (family === 4) return parts.join('.')
  // The URL parser writes IPv6 in the short form of RFC 5952.
  return new URL(`http://[${parts.map((part) => part.toString(16)).join(':')}]`).hostname.slice(1, -1)
}

function hostBits(family: 4 | 6, prefix: number): bigint {
  return BigInt(widthOf[family] - prefix)
}

function groupsOf(text: string): readonly number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
}

function bytesToNumber(parts: readonly number[], bits: bigint): bigint {
  return parts.reduce((sum, part) => (sum << bits) | BigInt(part), 0n)
}
