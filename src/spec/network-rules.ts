import {type Cidr, contains, formatCidr, hostsIn, overlaps, parseCidr} from '../base/cidr.ts'
import type {ClusterSpec} from './cluster-spec.ts'
import {plannedNodes} from './machines.ts'
import {formatPath, type Finding, type Path} from './problems.ts'
import {parseEndpoint} from './syntax.ts'

interface Network {
  readonly path: Path
  readonly text: string
  readonly cidr: Cidr
}

/** Where the local provider looks for a free /24 when the spec names no subnet. */
const LOCAL_RANGE = '172.30.0.0/16'

/** Loopback, link-local and multicast networks, which no cluster can use. */
const reserved = [
  '0.0.0.0/8',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '224.0.0.0/3',
  '::/16',
  'fe80::/10',
  'ff00::/8',
].flatMap((text) => parseCidr(text) ?? [])

/** Networks against each other, against the machines, and against the limits of Kubernetes. */
export function networkFindings(spec: ClusterSpec): readonly Finding[] {
  const pods = networkAt(['spec', 'network', 'podCidr'], spec.network.podCidr)
  const services = networkAt(['spec', 'network', 'serviceCidr'], spec.network.serviceCidr)
  const local = spec.provider.kind === 'local' ? localNetwork(spec) : []
  const networks = [...pods, ...services, ...local, ...cloudNetwork(spec)]
  return [
    ...overlapFindings(networks),
    ...networks.flatMap((network) => reservedFindings(network)),
    ...[...pods, ...services].flatMap((network) => machineFindings(spec, network)),
    ...pods.flatMap((network) => podFindings(spec, network)),
    ...services.flatMap((network) => serviceFindings(network, pods[0])),
    ...local.flatMap((network) => localFindings(spec, network)),
  ]
}

function networkAt(path: Path, text: string | undefined): readonly Network[] {
  const cidr = text === undefined ? undefined : parseCidr(text)
  return cidr?.canonical === true ? [{path, text: formatCidr(cidr), cidr}] : []
}

function localNetwork(spec: ClusterSpec): readonly Network[] {
  return networkAt(['spec', 'provider', 'local', 'subnet'], spec.provider.local.subnet ?? LOCAL_RANGE)
}

/** The network that a cloud makes for the machines; of one that exists only the cloud knows the range. */
function cloudNetwork(spec: ClusterSpec): readonly Network[] {
  const {kind} = spec.provider
  if (kind !== 'aws' && kind !== 'azure') return []
  const {existing, cidr} = spec.provider[kind].network
  return existing === undefined ? networkAt(['spec', 'provider', kind, 'network', 'cidr'], cidr) : []
}

function overlapFindings(networks: readonly Network[]): readonly Finding[] {
  return networks.flatMap((network, index) =>
    networks
      .slice(0, index)
      .filter((other) => overlaps(network.cidr, other.cidr))
      .map((other) => ({
        path: network.path,
        value: network.text,
        problem: `overlaps ${formatPath(other.path)}, ${other.text}`,
        reads: [other.path, ['spec', 'provider', 'kind']],
      })),
  )
}

function reservedFindings({path, text, cidr}: Network): readonly Finding[] {
  const hit = reserved.find((range) => overlaps(range, cidr))
  return hit === undefined
    ? []
    : [{path, value: text, problem: `overlaps ${formatCidr(hit)}, which is reserved for other uses`}]
}

function machineFindings(spec: ClusterSpec, {path, text, cidr}: Network): readonly Finding[] {
  const endpoint = parseEndpoint(spec.api.endpoint ?? '')?.host ?? ''
  const inside = [
    ...plannedNodes(spec).flatMap(({host, path: at}) => [
      {address: host?.address ?? '', at: [...at, 'address']},
      {address: host?.privateAddress ?? '', at: [...at, 'privateAddress']},
    ]),
    {address: endpoint, at: ['spec', 'api', 'endpoint']},
  ].filter(({address}) => contains(cidr, address))
  const [first] = inside
  if (first === undefined) return []
  const others = inside.length === 1 ? '' : ` and ${inside.length - 1} more of the machines' addresses`
  const problem = `contains ${first.address}, which is ${formatPath(first.at)}${others}`
  return [{path, value: text, problem, reads: inside.map(({at}) => at)}]
}

/** kube-controller-manager gives every node a /24 (IPv6: /64) and manages at most 2^16 of them. */
function podFindings(spec: ClusterSpec, {path, text, cidr}: Network): readonly Finding[] {
  const nodePrefix = cidr.family === 4 ? 24 : 64
  const nodes = plannedNodes(spec).length
  const networks = cidr.prefix > nodePrefix ? 0 : 2 ** (nodePrefix - cidr.prefix)
  const reads = [
    ['spec', 'workers'],
    ['spec', 'controlPlane'],
  ]
  if (networks < nodes) {
    const problem = `has room for ${networks} nodes with a /${nodePrefix} each, but the cluster has ${nodes}`
    return [{path, value: text, problem, reads}]
  }
  if (networks > 2 ** 16) {
    return [
      {path, value: text, problem: `is too large: at most /${nodePrefix - 16} can be divided among nodes`},
    ]
  }
  if (cidr.family === 6 && spec.network.cni === 'flannel') {
    const problem =
      'is IPv6, which clouder does not set up with flannel; set network.cni to none and install another CNI'
    return [{path, value: text, problem, reads: [['spec', 'network', 'cni']]}]
  }
  return []
}

/** kube-apiserver takes at most 20 bits of services, kubeadm wants at least 10 addresses. */
function serviceFindings({path, text, cidr}: Network, pods: Network | undefined): readonly Finding[] {
  const width = cidr.family === 4 ? 32 : 128
  if (cidr.prefix < width - 20) {
    return [{path, value: text, problem: `is too large: Kubernetes takes at most a /${width - 20}`}]
  }
  if (cidr.prefix > width - 4) {
    return [{path, value: text, problem: `is too small: Kubernetes needs at least a /${width - 4}`}]
  }
  if (pods === undefined || pods.cidr.family === cidr.family) return []
  const problem = `is IPv${cidr.family}, but ${formatPath(pods.path)} is IPv${pods.cidr.family}`
  return [{path, value: text, problem, reads: [pods.path]}]
}

function localFindings(spec: ClusterSpec, {path, text, cidr}: Network): readonly Finding[] {
  const nodes = plannedNodes(spec).length
  const reads = [
    ['spec', 'workers'],
    ['spec', 'controlPlane'],
    ['spec', 'provider', 'kind'],
  ]
  if (cidr.family === 6)
    return [{path, value: text, problem: 'is IPv6; local nodes have IPv4 addresses', reads}]
  // One address is the bridge's. Without a subnet of its own the cluster gets a /24.
  const room = spec.provider.local.subnet === undefined ? 253 : Number(hostsIn(cidr)) - 1
  if (nodes <= room) return []
  return [
    {
      path,
      value: spec.provider.local.subnet,
      problem: `has room for ${Math.max(room, 0)} nodes, but the cluster has ${nodes}`,
      reads,
    },
  ]
}
