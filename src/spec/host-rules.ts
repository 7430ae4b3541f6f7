import type {ClusterSpec} from './cluster-spec.ts'
import {type Address, formatAddress, parseAddress, parseCidr} from '../base/cidr.ts'
import {plannedNodes, privateAddressOf} from './machines.ts'
import {type Finding, formatPath, type Path} from './problems.ts'
import {findRepeated} from './repeated.ts'
import {hostName} from './syntax.ts'

/** Hosts against each other, and against the provider and the counts. */
export function hostFindings(spec: ClusterSpec): readonly Finding[] {
  return spec.provider.kind === 'byon' ? broughtFindings(spec) : refusedFindings(spec)
}

interface HostGroup {
  readonly path: Path
  readonly count?: number | undefined
  readonly hosts: ClusterSpec['controlPlane']['hosts']
}

function groupsOf(spec: ClusterSpec): readonly HostGroup[] {
  return [
    {path: ['spec', 'controlPlane'], ...spec.controlPlane},
    ...spec.workers.map((pool, index) => ({
      path: ['spec', 'workers', index],
      count: pool.count,
      hosts: pool.hosts,
    })),
  ]
}

function refusedFindings(spec: ClusterSpec): readonly Finding[] {
  const {kind} = spec.provider
  return groupsOf(spec)
    .filter(({hosts}) => hosts.length > 0)
    .map(({path, hosts}) => ({
      path: [...path, 'hosts'],
      value: hosts.map(({address}) => address),
      problem: `cannot be set with provider ${kind}, which creates its machines; your own hosts need provider.kind byon`,
      reads: [['spec', 'provider', 'kind']],
    }))
}

function broughtFindings(spec: ClusterSpec): readonly Finding[] {
  const groups = groupsOf(spec)
  const missing = spec.controlPlane.hosts.length === 0
  const mismatched = groups.filter(
    ({count, hosts}) =>
      count !== undefined && count !== hosts.length && !(missing && hosts === spec.controlPlane.hosts),
  )
  return [
    ...(missing
      ? [
          {
            path: ['spec', 'controlPlane', 'hosts'],
            value: undefined,
            problem: 'is required with provider byon: list the control plane machine',
            reads: [['spec', 'provider', 'kind']],
          },
        ]
      : []),
    ...mismatched.map(({path, count, hosts}) => ({
      path: [...path, 'count'],
      value: count,
      problem: `is not the number of hosts, which is ${hosts.length}`,
      reads: [
        [...path, 'hosts'],
        ['spec', 'provider', 'kind'],
      ],
    })),
    ...addressFindings(spec),
  ]
}

function addressFindings(spec: ClusterSpec): readonly Finding[] {
  const hosts = plannedNodes(spec).flatMap(({host, path}) => (host === undefined ? [] : [{host, path}]))
  const repeated = findRepeated(
    hosts.map(({host, path}) => ({
      key: `${host.address.toLowerCase()}:${host.port ?? spec.ssh.port}`,
      path: [...path, 'address'],
    })),
  )
  const told = new Set(repeated.map(({path}) => formatPath(path.slice(0, -1))))
  const repeatedPrivately = findRepeated(
    hosts.flatMap(({host, path}) => {
      const address = parseAddress(privateAddressOf(host) ?? '')
      if (address === undefined || told.has(formatPath(path))) return []
      const key = host.privateAddress === undefined ? 'address' : 'privateAddress'
      return [{key: formatAddress(address), path: [...path, key]}]
    }),
  )
  return [
    ...repeated,
    ...repeatedPrivately,
    ...hosts.flatMap(({host, path}) => privateAddressFindings(spec, host, path)),
  ]
}

function privateAddressFindings(
  spec: ClusterSpec,
  host: ClusterSpec['controlPlane']['hosts'][number],
  path: Path,
): readonly Finding[] {
  const at = [...path, host.privateAddress === undefined ? 'address' : 'privateAddress']
  const text = privateAddressOf(host)
  if (text === undefined) {
    if (host.privateAddress !== undefined || hostName(host.address) !== undefined) return []
    const problem = `is required because the address ${host.address} is a name: nodes need each other's IP addresses`
    return [{path: [...path, 'privateAddress'], value: undefined, problem}]
  }
  const address = parseAddress(text)
  const services = parseCidr(spec.network.serviceCidr)
  if (address !== undefined && isUnusable(address)) {
    return [
      {
        path: at,
        value: text,
        problem: 'is not an address where other nodes can reach the host; set privateAddress',
      },
    ]
  }
  if (address === undefined || services === undefined || address.family === services.family) return []
  const problem = `is IPv${address.family}, but the service network is IPv${services.family}`
  return [{path: at, value: text, problem, reads: [['spec', 'network', 'serviceCidr']]}]
}

/** Loopback and unspecified addresses. */
function isUnusable({family, value}: Address): boolean {
  return family === 4 ? [0n, 127n].includes(value >> 24n) : value <= 1n
}
