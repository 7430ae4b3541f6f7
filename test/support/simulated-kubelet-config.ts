import {parse, parseAllDocuments, stringify} from 'yaml'
import {z} from 'zod'
import type {SimulatedCluster} from './simulated-cluster.ts'
import {sha256Of, type SimulatedMachine} from './simulated-machine.ts'
import {failed, hereDocuments, lines, removeFiles, type Behaviour} from './simulated-shell.ts'

export const KUBELET_CONFIG = '/var/lib/kubelet/config.yaml'
const CONFIG = '/etc/kubernetes/clouder/kubeadm.yaml'
const PATCH = '/etc/kubernetes/clouder/patches/kubeletconfiguration0+merge.yaml'
const contentOf = (machine: SimulatedMachine, path: string): string => machine.files.get(path)?.content ?? ''
const objectSchema = z.record(z.string(), z.unknown())

const write = (machine: SimulatedMachine, configuration: unknown): void => {
  const patch: unknown = parse(contentOf(machine, PATCH)) ?? {}
  const merged = {...objectSchema.parse(configuration), ...objectSchema.parse(patch)}
  machine.put(KUBELET_CONFIG, stringify(merged), 0o600)
}

/** As `kubelet-start` does: from the file that kubeadm is given, and the patch of the machine. */
export function writeOwnKubeletConfig(machine: SimulatedMachine): void {
  const found = parseAllDocuments(contentOf(machine, CONFIG)).find(
    (document) => document.get('kind') === 'KubeletConfiguration',
  )
  write(machine, found?.toJS() ?? {kind: 'KubeletConfiguration'})
}

/** As a join does, and `upgrade node`: from what the cluster keeps, and the patch of the machine. */
export const writeSharedKubeletConfig = (machine: SimulatedMachine, cluster: SimulatedCluster): void =>
  write(machine, parse(cluster.kubeletConfig) ?? {})

const isLoose = (path: string, mode: number): boolean =>
  (mode & 0o077) !== 0 && (path.startsWith('/etc/kubernetes/') || path === KUBELET_CONFIG)

/** `kubeadm/kubelet-probe.sh`. */
export const probeKubelet: Behaviour = (machine) => {
  if (!machine.has('/etc/kubernetes/kubelet.conf') || !machine.has(KUBELET_CONFIG)) return ''
  const patch = machine.files.get(PATCH)
  return lines(
    `config=${Buffer.from(contentOf(machine, KUBELET_CONFIG)).toString('base64')}`,
    patch === undefined ? [] : [`patch=${sha256Of(patch.content)}`],
    machine.has('/run/clouder/kubelet-restart') ? ['restart=yes'] : [],
    [...machine.files].flatMap(([path, {mode}]) => (isLoose(path, mode) ? [`loose=${path}`] : [])),
  )
}

/** `kubeadm/kubelet-config.sh`. */
export const configureKubelet: Behaviour = (machine, text, cluster) => {
  if (text.includes('kubeadm upgrade node phase kubelet-config')) {
    if (!cluster.answers) return failed('connection refused')
    for (const [path, content] of hereDocuments(text, /cat > ('[^']*')/)) machine.put(path, content, 0o600)
    removeFiles(machine, text)
    writeSharedKubeletConfig(machine, cluster)
  }
  for (const [path, {content, mode}] of machine.files)
    if (isLoose(path, mode)) machine.put(path, content, 0o600)
  machine.remove('/run/clouder/kubelet-restart')
  return ''
}
