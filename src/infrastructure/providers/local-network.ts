import {InfrastructureError} from '../errors.ts'
import {addressesIn, contains, formatAddress, overlaps, parseCidr, type Cidr} from '../../base/cidr.ts'

const POOL = '172.30.0.0/16'

/**
 * The network of a cluster's nodes: the first /24 of 172.30.0.0/16 that overlaps nothing in `taken` (CIDR notation).
 * Throws InfrastructureError ENGINE_FAILED when none is free.
 */
export function chooseSubnet(taken: readonly string[]): string {
  const others = taken.flatMap((text) => parseCidr(text) ?? [])
  for (let third = 0; third < 256; third += 1) {
    const subnet = `172.30.${third}.0/24`
    if (!others.some((other) => overlaps(other, cidrOf(subnet)))) return subnet
  }
  throw new InfrastructureError(
    'ENGINE_FAILED',
    `no free /24 network for the nodes in ${POOL}: each one overlaps a route or a network`,
    {
      suggestions: [
        'set a free network: spec.provider.local.subnet: 10.99.0.0/24',
        'list the networks in use: ip route; docker network ls',
      ],
    },
  )
}

/** The upper half of a subnet, for containers that name no address; nodes have theirs in the lower half. */
export function dynamicRange(subnet: string): string {
  const cidr = cidrOf(subnet)
  return `${formatAddress({family: cidr.family, value: cidr.base + addressesIn(cidr) / 2n})}/${cidr.prefix + 1}`
}

/**
 * An address for each node: the one it has, else the lowest of the subnet's lower half that nobody has.
 * The network's own address and the gateway's are left out.
 */
export function assignAddresses(
  nodes: readonly string[],
  existing: ReadonlyMap<string, string>,
  inUse: readonly string[],
  subnet: string,
): ReadonlyMap<string, string> {
  const cidr = cidrOf(subnet)
  const last = cidr.base + addressesIn(cidr) / 2n
  const taken = new Set([...existing.values(), ...inUse])
  const assigned = new Map<string, string>()
  let next = cidr.base + 2n
  for (const node of nodes) {
    const kept = existing.get(node)
    if (kept !== undefined && contains(cidr, kept)) {
      assigned.set(node, kept)
      continue
    }
    let address = formatAddress({family: cidr.family, value: next})
    while (taken.has(address)) {
      next += 1n
      address = formatAddress({family: cidr.family, value: next})
    }
    if (next >= last) {
      throw new InfrastructureError(
        'ENGINE_FAILED',
        `network ${subnet} has no address left for node ${node}`,
        {
          suggestions: ['set a larger network on a new cluster: spec.provider.local.subnet'],
        },
      )
    }
    taken.add(address)
    assigned.set(node, address)
  }
  return assigned
}

function cidrOf(text: string): Cidr {
  const cidr = parseCidr(text)
  if (cidr === undefined)
    throw new InfrastructureError('ENGINE_FAILED', `"${text}" is not a network in CIDR notation`)
  return cidr
}
