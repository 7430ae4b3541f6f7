import {initDocuments, kubeletPatch, PATCHES_DIR, type ConfiguredNode} from '../kubeadm/config.ts'
import {yamlForGo} from '../kubernetes/yaml.ts'
import type {HostReader} from '../hosts/host.ts'
import {textSha256, type KubeadmState} from './kubeadm-probe.ts'
import type {PhaseContext} from './context.ts'

export const KUBEADM_CONFIG_PATH = '/etc/kubernetes/clouder/kubeadm.yaml'
export const KUBELET_PATCH_PATH = `${PATCHES_DIR}/kubeletconfiguration0+merge.yaml`

/** A file clouder writes for kubeadm; without content it must not exist. */
export interface WantedFile {
  readonly path: string
  readonly content: string | undefined
}

const nodeOf = (host: HostReader): ConfiguredNode => ({machine: host.machine, facts: host.facts})

/** The init configuration of the first control plane. */
export function initFile(context: PhaseContext, first: HostReader): WantedFile {
  const documents = initDocuments(context.spec, context.endpoint, nodeOf(first), context.hosts.map(nodeOf))
  return {
    path: KUBEADM_CONFIG_PATH,
    content: documents
      .map((document) => yamlForGo(document))
      .join('---\n')
      .trimEnd(),
  }
}

/** The kubelet's exceptions on this host. */
export function patchFile(host: HostReader): WantedFile {
  const patch = kubeletPatch(host.facts)
  return {path: KUBELET_PATCH_PATH, content: patch === undefined ? undefined : yamlForGo(patch).trimEnd()}
}

/** Why a file must be written, or undefined when it is as wanted. */
export function fileReason(file: WantedFile, state: KubeadmState): string | undefined {
  const found = state.digests.get(file.path)
  if (file.content === undefined) return found === undefined ? undefined : 'is not wanted on this host'
  if (found === undefined) return 'is absent'
  return found === textSha256(file.content) ? undefined : 'differs from the rendered one'
}

/** View of templates/kubeadm/write-config.sh. */
export const filesView = (files: readonly WantedFile[]): Record<string, unknown> => ({
  patchesDir: PATCHES_DIR,
  files: files.map(({path, content}) => ({path, content: content ?? ''})),
})
