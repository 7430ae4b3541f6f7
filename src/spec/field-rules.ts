import {storeKinds} from '../api/checkpoint-store.ts'
import type {ClusterSpec} from './cluster-spec.ts'
import type {SecretRef, Taint} from './machine.ts'
import {findRepeated} from './repeated.ts'
import type {Finding, Path} from './problems.ts'
import * as syntax from './syntax.ts'

type HostEntry = ClusterSpec['controlPlane']['hosts'][number]

/** What can be said of each value by itself. */
export function fieldFindings(spec: ClusterSpec): readonly Finding[] {
  const {network, api, provider, ssh} = spec
  return [
    ...check(['metadata', 'name'], spec.name, syntax.dnsLabel),
    ...check(['spec', 'provider', 'local', 'subnet'], provider.local.subnet, syntax.cidr),
    ...check(['spec', 'kubernetes', 'version'], spec.kubernetes.version, syntax.exactVersion),
    ...hostsFindings(['spec', 'controlPlane', 'hosts'], spec.controlPlane.hosts),
    ...spec.workers.flatMap((pool, index) => poolFindings(['spec', 'workers', index], pool)),
    ...check(['spec', 'network', 'podCidr'], network.podCidr, syntax.cidr),
    ...check(['spec', 'network', 'serviceCidr'], network.serviceCidr, syntax.cidr),
    ...check(['spec', 'network', 'dnsDomain'], network.dnsDomain, syntax.dnsName),
    ...storeFindings(spec.checkpoint.store),
    ...check(['spec', 'api', 'endpoint'], api.endpoint, syntax.apiEndpoint),
    ...checkEach(['spec', 'api', 'certSans'], api.certSans, syntax.certSan),
    ...proxyFindings(spec.proxy),
    ...spec.containerd.registryMirrors.flatMap((mirror, index) => [
      ...check(
        ['spec', 'containerd', 'registryMirrors', index, 'registry'],
        mirror.registry,
        syntax.registryHost,
      ),
      ...checkEach(
        ['spec', 'containerd', 'registryMirrors', index, 'endpoints'],
        mirror.endpoints,
        syntax.mirrorUrl,
      ),
    ]),
    ...accessFindings(['spec', 'ssh'], ssh),
    ...bastionFindings(['spec', 'ssh', 'bastion'], ssh.bastion),
    ...checkEach(['spec', 'access', 'adminCidrs'], spec.access.adminCidrs, syntax.cidr),
    ...addonFindings(spec),
  ]
}

function proxyFindings({httpProxy, httpsProxy, noProxy}: ClusterSpec['proxy']): readonly Finding[] {
  const path = ['spec', 'proxy']
  const isIdle = httpProxy === undefined && httpsProxy === undefined && noProxy.length > 0
  return [
    ...check([...path, 'httpProxy'], httpProxy, syntax.proxyUrl),
    ...check([...path, 'httpsProxy'], httpsProxy, syntax.proxyUrl),
    ...checkEach([...path, 'noProxy'], noProxy, syntax.noProxyEntry),
    ...(isIdle
      ? [
          {
            path: [...path, 'noProxy'],
            value: undefined,
            problem: 'does nothing without httpProxy or httpsProxy',
            reads: [
              [...path, 'httpProxy'],
              [...path, 'httpsProxy'],
            ],
          },
        ]
      : []),
  ]
}

function storeFindings(store: ClusterSpec['checkpoint']['store']): readonly Finding[] {
  const kinds = storeKinds.filter((kind) => store[kind] !== undefined)
  if (kinds.length === 1) return []
  const said = kinds.length === 0 ? 'sets no location' : `sets ${kinds.join(' and ')}`
  const problem = `${said}; set exactly one of ${storeKinds.join(', ')}`
  return [{path: ['spec', 'checkpoint', 'store'], value: undefined, problem}]
}

/** Which addons there are the catalogue knows; here only what contradicts itself. */
function addonFindings({addons: {install, without}}: ClusterSpec): readonly Finding[] {
  const path = ['spec', 'addons', 'install']
  return install.flatMap((id, index) =>
    without.includes(id)
      ? [
          {
            path: [...path, index],
            value: id,
            problem: 'is in spec.addons.without too',
            reads: [['spec', 'addons', 'without']],
          },
        ]
      : [],
  )
}

function poolFindings(path: Path, pool: ClusterSpec['workers'][number]): readonly Finding[] {
  return [
    ...check([...path, 'name'], pool.name, syntax.dnsLabel),
    ...labelFindings([...path, 'labels'], pool.labels),
    ...taintFindings([...path, 'taints'], pool.taints),
    ...hostsFindings([...path, 'hosts'], pool.hosts),
  ]
}

function hostsFindings(path: Path, hosts: readonly HostEntry[]): readonly Finding[] {
  return hosts.flatMap((host, index) => {
    const at = [...path, index]
    return [
      ...check([...at, 'name'], host.name, syntax.dnsLabel),
      ...check([...at, 'address'], host.address, syntax.hostName),
      ...check([...at, 'privateAddress'], host.privateAddress, syntax.ipAddress),
      ...checkEach([...at, 'hostKeys'], host.hostKeys, syntax.hostKey),
      ...accessFindings(at, host),
      ...labelFindings([...at, 'labels'], host.labels),
      ...taintFindings([...at, 'taints'], host.taints),
    ]
  })
}

interface Access {
  readonly user?: string | undefined
  readonly keyPath?: string | undefined
  readonly sudoPassword?: SecretRef | undefined
}

function accessFindings(path: Path, access: Access): readonly Finding[] {
  const secret = access.sudoPassword
  return [
    ...check([...path, 'user'], access.user, syntax.userName),
    ...check([...path, 'keyPath'], access.keyPath, syntax.filePath),
    ...(secret === undefined
      ? []
      : 'env' in secret
        ? check([...path, 'sudoPassword', 'env'], secret.env, syntax.environmentName)
        : check([...path, 'sudoPassword', 'file'], secret.file, syntax.filePath)),
  ]
}

function bastionFindings(path: Path, bastion: ClusterSpec['ssh']['bastion']): readonly Finding[] {
  if (bastion === undefined) return []
  return [
    ...check([...path, 'address'], bastion.address, syntax.hostName),
    ...accessFindings(path, bastion),
    ...checkEach([...path, 'hostKeys'], bastion.hostKeys, syntax.hostKey),
  ]
}

/** Labels that the kubelet or kubeadm set themselves. */
const ownLabels = ['kubernetes.io/hostname', 'node-role.kubernetes.io/control-plane']

function labelFindings(path: Path, labels: Readonly<Record<string, string>>): readonly Finding[] {
  return Object.entries(labels).flatMap(([key, value]): readonly Finding[] => {
    const at = [...path, key]
    const problem = syntax.labelKey(key)
    if (problem !== undefined) return [{path: at, value: key, problem}]
    if (ownLabels.includes(key)) return [{path: at, value: key, problem: 'is set by Kubernetes itself'}]
    return check(at, value, syntax.labelValue)
  })
}

function taintFindings(path: Path, taints: readonly Taint[]): readonly Finding[] {
  const repeated = findRepeated(
    taints.map((taint, index) => ({key: `${taint.key}:${taint.effect}`, path: [...path, index]})),
  )
  return [
    ...taints.flatMap((taint, index) => [
      ...check([...path, index, 'key'], taint.key, syntax.labelKey),
      ...check([...path, index, 'value'], taint.value, syntax.labelValue),
      ...(ownLabels.includes(taint.key)
        ? [
            {
              path: [...path, index, 'key'],
              value: taint.key,
              problem: 'is set by kubeadm; see controlPlane.schedulable',
            },
          ]
        : []),
    ]),
    ...repeated,
  ]
}

function check(path: Path, value: string | undefined, problemOf: syntax.Check): readonly Finding[] {
  const problem = value === undefined ? undefined : problemOf(value)
  return problem === undefined ? [] : [{path, value, problem}]
}

function checkEach(path: Path, values: readonly string[], problemOf: syntax.Check): readonly Finding[] {
  return values.flatMap((value, index) => check([...path, index], value, problemOf))
}
