// What by-hand.sh installs: the same configuration that clouder gives to machines, from the same functions.
import {imagesFor} from '../../src/bundle/catalogue.ts'
import type {Bundle, ImageItem} from '../../src/bundle/types.ts'
import {initDocuments, kubeletPatch, type ConfiguredNode} from '../../src/bootstrap/kubeadm/config.ts'
import {apiServerFiles, ENCRYPTION_PATH} from '../../src/bootstrap/kubeadm/hardening.ts'
import {wantedContainerd} from '../../src/bootstrap/phases/containerd/wanted.ts'
import {criuFiles} from '../../src/bootstrap/phases/criu.ts'
import {kubeletFiles} from '../../src/bootstrap/phases/kubernetes.ts'
import type {ManagedFile} from '../../src/bootstrap/phases/managed-files.ts'
import type {Renderer} from '../../src/base/renderer.ts'
import type {KubeObject} from '../../src/kubernetes/types.ts'
import {yamlForGo} from '../../src/kubernetes/yaml.ts'
import {checkpointDefinitions} from '../../src/platform/addons/checkpoint/definitions.ts'
import {checkpointObjects} from '../../src/platform/addons/checkpoint/objects.ts'
import {flannelObjects} from '../../src/platform/addons/cni/flannel.ts'
import {restoreRuntimeClass} from '../../src/platform/addons/runtime-class/addon.ts'
import type {ClusterSpec} from '../../src/spec/cluster-spec.ts'
import type {Endpoint, Machine} from '../../src/spec/machine.ts'

/** by-hand.sh joins workers with flags, one of which names it; clouder keeps another folder for itself. */
const PATCHES = '/etc/kubernetes/patches'

export interface ByHandCluster {
  readonly spec: ClusterSpec
  readonly endpoint: Endpoint
  readonly nodes: readonly ConfiguredNode[]
  readonly bundle: Bundle
  readonly renderer: Renderer
  /** Base64 of 32 bytes: Secrets are encrypted with it. */
  readonly encryptionSecret: string
}

/** The configuration of a node, by its path there. */
export function nodeFiles(node: ConfiguredNode, cluster: ByHandCluster): readonly ManagedFile[] {
  const {spec, bundle, renderer} = cluster
  const patch = kubeletPatch(node.facts)
  return [
    ...wantedContainerd(spec, node, bundle, renderer).daemonFiles,
    ...criuFiles(spec, renderer),
    ...kubeletFiles(renderer, []),
    // The folder is there, whether it has patches or not.
    plain(`${PATCHES}/.keep`, ''),
    ...(patch === undefined ? [] : [plain(`${PATCHES}/kubeletconfiguration0+merge.yaml`, yamlForGo(patch))]),
    ...(node.machine.role === 'control-plane' ? controlPlaneFiles(node, cluster) : []),
  ]
}

const plain = (path: string, content: string): ManagedFile => ({path, content, mode: 0o644})

function controlPlaneFiles(
  node: ConfiguredNode,
  {spec, endpoint, nodes, encryptionSecret}: ByHandCluster,
): readonly ManagedFile[] {
  const documents = initDocuments(spec, endpoint, node, nodes).map((document) =>
    document['patches'] === undefined ? document : {...document, patches: {directory: PATCHES}},
  )
  const encryption = {
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [
      {
        resources: ['secrets'],
        providers: [{secretbox: {keys: [{name: 'by-hand', secret: encryptionSecret}]}}, {identity: {}}],
      },
    ],
  }
  return [
    plain('/etc/kubernetes/kubeadm.yaml', documents.map((document) => yamlForGo(document)).join('---\n')),
    ...apiServerFiles.map(({path, content}) => plain(path, `${content}\n`)),
    {path: ENCRYPTION_PATH, content: yamlForGo(encryption), mode: 0o600},
  ]
}

/** What is applied to the cluster, by the name of its file. */
export function clusterObjects({
  spec,
  endpoint,
  bundle,
}: ByHandCluster): Readonly<Record<string, readonly KubeObject[]>> {
  const {reference: image, manifestDigest: imageDigest} = imageOf(bundle, 'clouder')
  const flannel = {
    image: imageOf(bundle, 'flannel').reference,
    podCidr: spec.network.podCidr,
    serviceCidr: spec.network.serviceCidr,
    api: endpoint.internal,
  }
  return {
    network: [...flannelObjects(flannel), restoreRuntimeClass],
    definitions: checkpointDefinitions(),
    checkpoint: checkpointObjects({image, imageDigest, ...spec.checkpoint}),
  }
}

function imageOf(bundle: Bundle, name: string): ImageItem {
  const image = imagesFor(bundle, 'worker', new Set()).find((item) => item.name === name)
  if (image === undefined) throw new Error(`the bundle ${bundle.dir} has no image ${name}`)
  return image
}

/** One connection per node, shared by all commands, with the keys that are pinned; by the name of its file in `folder`. */
export function sshFiles(machines: readonly Machine[], folder: string): Readonly<Record<string, string>> {
  const hosts = machines.map(({name, address, ssh}) =>
    [
      `Host ${name}`,
      `HostName ${address}`,
      `Port ${ssh.port}`,
      `User ${ssh.user}`,
      ...(ssh.keyPath === undefined ? [] : [`IdentityFile ${ssh.keyPath}`]),
      'IdentitiesOnly yes',
      'BatchMode yes',
      `HostKeyAlias ${name}`,
      `UserKnownHostsFile ${folder}/known_hosts`,
      'StrictHostKeyChecking yes',
      'ControlMaster auto',
      `ControlPath ${folder}/mux-%n`,
      'ControlPersist 20',
    ].join('\n  '),
  )
  const keys = machines.flatMap(({name, ssh}) => ssh.hostKeys.map((key) => `${name} ${key}\n`))
  return {ssh_config: `${hosts.join('\n')}\n`, known_hosts: keys.join('')}
}
