import {createHash} from 'node:crypto'
import {initDocuments, kubeletPatch, PATCHES_DIR, type ConfiguredNode} from '../kubeadm/config.ts'
import {apiServerFiles, AUDIT_LOG_DIR, ENCRYPTION_PATH} from '../kubeadm/hardening.ts'
import {keepSettings} from '../kubeadm/kept.ts'
import {yamlForGo} from '../../kubernetes/yaml.ts'
import type {HostReader} from '../hosts/host.ts'
import {KUBEADM_CONFIG_PATH, textSha256, type KubeadmState} from './kubeadm-probe.ts'
import type {PhaseContext} from './context.ts'

export const KUBELET_PATCH_PATH = `${PATCHES_DIR}/kubeletconfiguration0+merge.yaml`
const API_SERVER_PATCH_PATH = `${PATCHES_DIR}/kube-apiserver0+merge.yaml`
/** Paths of controlPlaneFiles. */
export const CONTROL_PLANE_FILE_PATHS: readonly string[] = [
  KUBEADM_CONFIG_PATH,
  KUBELET_PATCH_PATH,
  API_SERVER_PATCH_PATH,
  ...apiServerFiles.map(({path}) => path),
]

/**
 * What an API server does with Secrets. `readable`: it reads encrypted ones and writes them in clear, until every API
 * server of the cluster can read them.
 */
export type SecretsStage = 'readable' | 'encrypted'

/** A file clouder writes for kubeadm; without content it must not exist. */
export interface WantedFile {
  readonly path: string
  readonly content: string | undefined
}

const nodeOf = (host: HostReader): ConfiguredNode => ({machine: host.machine, facts: host.facts})

/** The kubeadm configuration of a control plane; of a running one with the settings that it keeps. */
export function initFile(
  context: PhaseContext,
  host: HostReader,
  initialised?: string,
): WantedFile & {readonly keeps: boolean} {
  const wanted = initDocuments(context.spec, context.endpoint, nodeOf(host), context.hosts.map(nodeOf))
  const {documents, differs} =
    initialised === undefined ? {documents: wanted, differs: false} : keepSettings(wanted, initialised)
  return {
    path: KUBEADM_CONFIG_PATH,
    content: documents
      .map((document) => yamlForGo(document))
      .join('---\n')
      .trimEnd(),
    keeps: differs,
  }
}

/** The kubelet's exceptions on this host. */
export function patchFile(host: HostReader): WantedFile {
  const patch = kubeletPatch(host.facts)
  return {path: KUBELET_PATCH_PATH, content: patch === undefined ? undefined : yamlForGo(patch).trimEnd()}
}

/** The API server reads its files when it starts: another content is another manifest, and so another start. */
function apiServerPatch(stage: SecretsStage): WantedFile {
  const hash = createHash('sha256')
    .update(JSON.stringify([apiServerFiles, stage]))
    .digest('hex')
  const patch = {metadata: {annotations: {'clouder.dev/files-sha256': hash}}}
  return {path: API_SERVER_PATCH_PATH, content: yamlForGo(patch).trimEnd()}
}

/** Everything that kubeadm and the API server of a control plane read and that clouder writes. */
export const controlPlaneFiles = (
  context: PhaseContext,
  host: HostReader,
  options: {readonly initialised?: string | undefined; readonly stage: SecretsStage},
): readonly WantedFile[] => [
  initFile(context, host, options.initialised),
  patchFile(host),
  apiServerPatch(options.stage),
  ...apiServerFiles,
]

/** Why a file must be written, or undefined when it is as wanted. */
export function fileReason(file: WantedFile, state: KubeadmState): string | undefined {
  const found = state.digests.get(file.path)
  if (file.content === undefined) return found === undefined ? undefined : 'is not expected on this host'
  if (found === undefined) return 'is absent'
  return found === textSha256(file.content) ? undefined : 'differs from the desired content'
}

/** Why a control plane's key and order of providers are not as wanted. */
export function encryptionReason(stage: SecretsStage, {encryption}: KubeadmState): string | undefined {
  if (encryption === undefined) return `${ENCRYPTION_PATH} is absent`
  return encryption.stage === stage ? undefined : `${ENCRYPTION_PATH} leaves Secrets ${encryption.stage}`
}

/** View of templates/kubeadm/write-config.sh; with a stage it makes or keeps the key of Secrets. */
export const filesView = (files: readonly WantedFile[], stage?: SecretsStage): Record<string, unknown> => ({
  patchesDir: PATCHES_DIR,
  files: files.map(({path, content}) => ({path, content: content ?? ''})),
  encryption:
    stage === undefined
      ? false
      : {path: ENCRYPTION_PATH, encrypts: stage === 'encrypted', auditDir: AUDIT_LOG_DIR},
})
