import type {ClusterSpec} from './cluster-spec.ts'
import {cloudFindings} from './cloud-rules.ts'
import {fieldFindings} from './field-rules.ts'
import {hostFindings} from './host-rules.ts'
import {plannedNodes} from './machines.ts'
import {networkFindings} from './network-rules.ts'
import {type Finding, formatPath} from './problems.ts'
import {findRepeated} from './repeated.ts'
import {dnsLabel} from './syntax.ts'

/** https://kubernetes.io/docs/setup/best-practices/cluster-large/ */
const MAX_NODES = 5000

/** Everything wrong with a spec whose shape is right: each value by itself, then the values against each other. */
export function ruleFindings(spec: ClusterSpec): readonly Finding[] {
  const nodes = [spec.controlPlane, ...spec.workers].reduce((sum, {count}) => sum + (count ?? 1), 0)
  if (nodes > MAX_NODES) {
    const problem = `sets ${nodes} nodes; Kubernetes supports at most ${MAX_NODES}`
    return [...fieldFindings(spec), {path: ['spec', 'workers'], value: undefined, problem}]
  }
  return [
    ...fieldFindings(spec),
    ...nameFindings(spec),
    ...controlPlaneFindings(spec),
    ...hostFindings(spec),
    ...networkFindings(spec),
    ...cloudFindings(spec),
    ...findRepeated(
      spec.containerd.registryMirrors.map(({registry}, index) => ({
        key: registry,
        path: ['spec', 'containerd', 'registryMirrors', index, 'registry'],
      })),
    ),
  ]
}

function nameFindings(spec: ClusterSpec): readonly Finding[] {
  const nodes = plannedNodes(spec)
  const pools = findRepeated(
    spec.workers.map(({name}, index) => ({key: name, path: ['spec', 'workers', index, 'name']})),
  )
  // Nodes that clouder names can only repeat where pools do, or where a pool is named like the control planes.
  const repeated = findRepeated(
    nodes.map(({name, host, pool, path}) => ({
      key: name.toLowerCase(),
      path:
        host?.name === undefined && pool !== undefined ? [...path.slice(0, 3), 'name'] : [...path, 'name'],
    })),
  )
  const longest = nodes.reduce((most, {name}) => Math.max(most, name.length), 0)
  const tooLongPools = poolLengthFindings(spec)
  // A provider's own resources are called <cluster>-<node>, and a host name has 63 characters.
  const isTooLong =
    dnsLabel(spec.name) === undefined && spec.provider.kind !== 'byon' && spec.name.length + 1 + longest > 63
  return [
    ...pools,
    ...(pools.length > 0 ? [] : onePerPath(repeated)),
    ...tooLongPools,
    ...(isTooLong && tooLongPools.length === 0
      ? [
          {
            path: ['metadata', 'name'],
            value: spec.name,
            problem: `is too long: with the longest node name it must fit into 63 characters, so at most ${62 - longest}`,
            reads: [['spec', 'workers']],
          },
        ]
      : []),
  ]
}

/**
 * Names of pools that leave no room: a node, `<pool>-<number>`, is a DNS label, and so is what a provider makes for it,
 * `<cluster>-<node>`, where at least one character is left to the name of the cluster.
 */
function poolLengthFindings(spec: ClusterSpec): readonly Finding[] {
  const cluster = spec.provider.kind === 'byon' ? 0 : 2
  return spec.workers.flatMap(({name, count, hosts}, index): readonly Finding[] => {
    const numbered = hosts.length === 0 || hosts.some((host) => host.name === undefined)
    const most = 63 - cluster - `-${Math.max(count ?? 1, hosts.length)}`.length
    if (dnsLabel(name) !== undefined || !numbered || name.length <= most) return []
    const problem = `is too long: its nodes are called ${name.slice(0, 8)}…-1 and so on, which must fit into 63 characters${cluster === 0 ? '' : ' with the name of the cluster'}, so at most ${most}`
    return [
      {
        path: ['spec', 'workers', index, 'name'],
        value: name,
        problem,
        reads: [['spec', 'workers', index, 'count']],
      },
    ]
  })
}

function onePerPath(findings: readonly Finding[]): readonly Finding[] {
  return [...new Map(findings.map((finding) => [formatPath(finding.path), finding])).values()]
}

function controlPlaneFindings(spec: ClusterSpec): readonly Finding[] {
  const {controlPlane, provider, api} = spec
  const count = controlPlane.count ?? 1
  const path = ['spec', 'controlPlane', 'count']
  const reads = [
    ['spec', 'controlPlane', 'hosts'],
    ['spec', 'provider', 'kind'],
  ]
  const hasBalancer = provider.kind === 'aws' || provider.kind === 'azure'
  return [
    ...(count % 2 === 0
      ? [
          {
            path,
            value: count,
            problem: 'is even: etcd needs an odd number of members to keep a quorum',
            reads,
          },
        ]
      : []),
    ...(count > 1 && api.endpoint === undefined && !hasBalancer
      ? [
          {
            path: ['spec', 'api', 'endpoint'],
            value: undefined,
            problem: `is required with ${count} control planes: name the load balancer in front of them`,
            reads: [path, ...reads],
          },
        ]
      : []),
  ]
}
