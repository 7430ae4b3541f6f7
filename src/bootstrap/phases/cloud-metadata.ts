import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {Renderer} from '../../base/renderer.ts'
import type {ClouderPhase} from './context.ts'
import {describeDrift, driftOf, filesView, type ManagedFile} from './managed-files.ts'
import {probeHosts, type Observed} from './probe.ts'

const UNIT_PATH = '/etc/systemd/system/clouder-metadata.service'
/** networkd removes rules of others when it starts, unless it is told not to. */
const NETWORKD_PATH = '/etc/systemd/networkd.conf.d/90-clouder-metadata.conf'

/** What pods must not reach: what comes from another network namespace is refused, what the node sends itself is not. */
interface Rule {
  readonly family: '-4' | '-6'
  /** In the words of ip-rule(8). */
  readonly selector: string
  readonly address: string
  /** Below those that CNI plugins use, above none. */
  readonly allowPriority: number
  readonly refusePriority: number
  /** The machine may have no IPv6. */
  readonly optional: boolean
}

function rule(index: number, address: string, ports = ''): Rule {
  const isV6 = address.includes(':')
  return {
    family: isV6 ? '-6' : '-4',
    selector: `to ${address}${ports}`,
    address,
    allowPriority: 440 + 2 * index,
    refusePriority: 441 + 2 * index,
    optional: isV6,
  }
}

/** Who asks these has the rights that the account gives to the machine. */
const RULES: Readonly<Record<'aws' | 'azure', readonly Rule[]>> = {
  aws: [rule(0, '169.254.169.254'), rule(1, 'fd00:ec2::254')],
  // The second hands out the settings of the machine, secrets of extensions among them; it is the name server too.
  // https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
  azure: [
    rule(0, '169.254.169.254'),
    rule(1, '168.63.129.16', ' ipproto tcp dport 80'),
    rule(2, '168.63.129.16', ' ipproto tcp dport 32526'),
  ],
}

/** The rules of the cloud that a cluster is in; none elsewhere. */
export function metadataRules({provider}: Pick<ClusterSpec, 'provider'>): readonly Rule[] {
  return provider.kind === 'aws' || provider.kind === 'azure' ? RULES[provider.kind] : []
}

/** The files that hold the rules, and bring them back after a restart. */
export const metadataFiles = (rules: readonly Rule[], renderer: Renderer): readonly ManagedFile[] => [
  {
    path: UNIT_PATH,
    content: renderer.render('metadata/clouder-metadata.service', {rules}),
    mode: 0o644,
  },
  {path: NETWORKD_PATH, content: renderer.render('metadata/networkd.conf', {}), mode: 0o644},
]

/** What is to be written, and why; no reason: nothing to do. Pure. */
export function decideMetadata(
  rules: readonly Rule[],
  files: readonly ManagedFile[],
  observed: Observed,
): {readonly files: readonly ManagedFile[]; readonly reasons: readonly string[]} {
  const drift = driftOf(files, observed)
  const refused = new Set(observed.all('refused'))
  const open = rules.filter(
    ({address, refusePriority, optional}) => !optional && !refused.has(`${refusePriority} ${address}`),
  )
  return {
    files: drift.map(({file}) => file),
    reasons: [
      ...describeDrift(drift),
      ...(observed.one('UnitFileState') === 'enabled' ? [] : ['clouder-metadata.service is not enabled']),
      ...(observed.one('NeedDaemonReload') === 'yes'
        ? ['clouder-metadata.service changed after systemd read it']
        : []),
      ...open.map(({selector}) => `pods are not denied ${selector}`),
    ],
  }
}

/** Pods cannot ask the cloud for the rights of their node. */
export const cloudMetadataPhase: ClouderPhase = {
  id: 'cloud-metadata',
  title: 'Blocking the cloud metadata service for pods',
  async plan({spec, hosts, renderer}, signal) {
    const rules = metadataRules(spec)
    if (rules.length === 0) return []
    const files = metadataFiles(rules, renderer)
    const text = renderer.render('metadata/probe.sh', {paths: files.map(({path}) => path), rules})
    const found = await probeHosts(
      'cloud-metadata',
      hosts,
      () => ({name: 'metadata/probe.sh', text}),
      (observed) => observed,
      signal,
    )
    return found.flatMap(({host, observed}) => {
      const decision = decideMetadata(rules, files, observed)
      if (decision.reasons.length === 0) return []
      const script = renderer.render('metadata/apply.sh', {files: filesView(decision.files)})
      return [
        {
          summary: 'reject packets of pods to the metadata service',
          reason: decision.reasons.join('; '),
          on: host,
          run: async (changeable, {signal: stop}) => {
            await changeable.runScript({name: 'metadata/apply.sh', text: script}, {signal: stop})
          },
        },
      ]
    })
  },
}
