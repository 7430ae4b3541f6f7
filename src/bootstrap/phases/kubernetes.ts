import type {FileItem} from '../../bundle/types.ts'
import type {HostStep} from '../engine/types.ts'
import type {HostReader} from '../hosts/host.ts'
import type {Renderer} from '../../base/renderer.ts'
import {isControlPlane, type ClouderPhase, type PhaseContext} from './context.ts'
import {describeDrift, driftOf, filesView, type ManagedFile} from './managed-files.ts'
import {fileOf, storePath} from './node-store.ts'
import {probeHosts, type Observed} from './probe.ts'
import {proxyVariables} from './proxy.ts'

const UNIT_PATH = '/etc/systemd/system/kubelet.service'
const DROP_IN_PATH = '/etc/systemd/system/kubelet.service.d/10-kubeadm.conf'
const FOLDERS = ['/etc/kubernetes', '/etc/kubernetes/manifests', '/var/lib/kubelet'] as const

interface Program {
  readonly name: string
  readonly path: string
  /** What makes it print its version. */
  readonly arguments: readonly string[]
}

const NODE_PROGRAMS: readonly Program[] = [
  {name: 'kubeadm', path: '/usr/local/bin/kubeadm', arguments: ['version', '-o', 'short']},
  {name: 'kubelet', path: '/usr/local/bin/kubelet', arguments: ['--version']},
]
const KUBECTL: Program = {name: 'kubectl', path: '/usr/local/bin/kubectl', arguments: ['version', '--client']}

const programsOf = (host: HostReader): readonly Program[] =>
  isControlPlane(host) ? [...NODE_PROGRAMS, KUBECTL] : NODE_PROGRAMS

export interface KubernetesDecision {
  readonly files: readonly ManagedFile[]
  /** Why; empty: nothing to do. */
  readonly reasons: readonly string[]
}

/**
 * What is to be written and checked, from what was seen; pure. `programs`: where each program must lead to. That it
 * leads to the bundle's file tells the version without starting it; the step does start it.
 */
export function decideKubernetes(
  programs: ReadonlyMap<string, FileItem>,
  files: readonly ManagedFile[],
  observed: Observed,
): KubernetesDecision {
  const drift = driftOf(files, observed)
  const folders = observed.all('folder')
  const found = new Set(observed.all('program'))
  return {
    files: drift.map(({file}) => file),
    reasons: [
      ...describeDrift(drift),
      ...FOLDERS.filter((folder) => !folders.includes(folder)).map((folder) => `${folder} absent`),
      ...(observed.one('UnitFileState') === 'enabled' ? [] : ['kubelet.service is not enabled']),
      ...(observed.one('NeedDaemonReload') === 'yes' ? ['the unit changed after systemd read it'] : []),
      ...[...programs]
        .filter(([path, item]) => !found.has(`${path} ${storePath(item)}`))
        .map(([path, item]) => `${path} is not version ${item.version} of the bundle`),
    ],
  }
}

/** The kubelet's unit; `proxy` as `NAME=value`; pure. */
export function kubeletFiles(renderer: Renderer, proxy: readonly string[]): readonly ManagedFile[] {
  return [
    {path: UNIT_PATH, content: renderer.render('kubernetes/kubelet.service', {}), mode: 0o644},
    {path: DROP_IN_PATH, content: renderer.render('kubernetes/10-kubeadm.conf', {proxy}), mode: 0o644},
  ]
}

function stepFor(context: PhaseContext, host: HostReader, decision: KubernetesDecision): readonly HostStep[] {
  if (decision.reasons.length === 0) return []
  const text = context.renderer.render('kubernetes/apply.sh', {
    files: filesView(decision.files),
    folders: FOLDERS,
    version: `v${context.spec.kubernetes.version}`,
    programs: programsOf(host),
  })
  return [
    {
      summary: 'set up the unit of the kubelet, check versions',
      reason: decision.reasons.join('; '),
      on: host,
      run: async (changeable, {signal}) => {
        await changeable.runScript({name: 'kubernetes/apply.sh', text}, {signal})
      },
    },
  ]
}

/** kubeadm, kubelet and kubectl of the version asked for, and the kubelet's unit as kubeadm expects it. */
export const kubernetesPhase: ClouderPhase = {
  id: 'kubernetes',
  title: 'Setting up kubelet and kubeadm',
  async plan(context, signal) {
    const {hosts, renderer} = context
    const files = kubeletFiles(renderer, proxyVariables(context))
    const found = await probeHosts(
      'kubernetes',
      hosts,
      (host) => ({
        name: 'kubernetes/probe.sh',
        text: renderer.render('kubernetes/probe.sh', {
          paths: files.map(({path}) => path),
          folders: FOLDERS,
          programs: programsOf(host).map(({path}) => path),
        }),
      }),
      (observed) => observed,
      signal,
    )
    return found.flatMap(({host, observed}) => {
      const bundle = context.bundles(host.facts.arch)
      const programs = new Map(programsOf(host).map(({name, path}) => [path, fileOf(bundle, name)]))
      return stepFor(context, host, decideKubernetes(programs, files, observed))
    })
  },
}
