import {createHash} from 'node:crypto'
import {join} from 'node:path'
import {Readable} from 'node:stream'
import type {Bundle, FileItem, ImageItem} from '../../src/bundle/types.ts'
import type {HostReader} from '../../src/bootstrap/hosts/host.ts'
import type {PhaseContext} from '../../src/bootstrap/phases/context.ts'
import type {ManagedFile} from '../../src/bootstrap/phases/managed-files.ts'
import type {ClusterSpec} from '../../src/spec/cluster-spec.ts'
import {loadSpec} from '../../src/spec/load.ts'
import {createRenderer} from '../../src/bootstrap/templating/render.ts'

export const renderer = createRenderer(join(import.meta.dirname, '../../templates'))

/** The spec of cluster demo; `body` is YAML flow text below `spec:`. */
export const specOf = (body = ''): ClusterSpec =>
  loadSpec({
    text: `apiVersion: clouder.dev/v1alpha1\nkind: Cluster\nmetadata: {name: demo}\nspec: {${body}}\n`,
  })

const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex')

const fileItem = (kind: FileItem['kind'], name: string, version: string): FileItem => ({
  kind,
  name,
  version,
  source: 'test',
  path: `files/${name}.gz`,
  sizeBytes: 1_000_000,
  sha256: digestOf(`gz ${name}`),
  contentSha256: digestOf(name),
})

const imageItem = (name: string, reference: string): ImageItem => ({
  kind: 'image',
  name,
  version: '1',
  source: 'test',
  reference,
  manifestDigest: `sha256:${digestOf(reference)}`,
  blobs: [],
  sizeBytes: 2_000_000,
})

/** A bundle whose files are not there: for planning only. */
export const plannedBundle: Bundle = {
  dir: '/bundles/test',
  content: () => Readable.from([]),
  lock: {
    version: 1,
    kubernetes: '1.35.4',
    arch: 'amd64',
    inputHash: digestOf('inputs'),
    catalogueHash: digestOf('catalogue'),
    files: [
      ...[
        'kubeadm',
        'kubelet',
        'kubectl',
        'containerd',
        'containerd-shim-runc-v2',
        'ctr',
        'runc',
        'clouder-restore',
        'clouder-files',
      ].map((name) => fileItem('binary', name, '1.0.0')),
      ...['cni-plugins', 'criu', 'host-tools'].map((name) => fileItem('archive', name, '1.0.0')),
    ],
    images: [
      imageItem('kube-apiserver', 'registry.k8s.io/kube-apiserver:v1.35.4'),
      imageItem('kube-proxy', 'registry.k8s.io/kube-proxy:v1.35.4'),
      imageItem('pause', 'registry.k8s.io/pause:3.10.1'),
    ],
    packages: [],
    manifests: [],
    tools: [],
  },
}

/** With the images of the addons of the profile `minimal`. */
export const bundleWithAddons: Bundle = {
  ...plannedBundle,
  lock: {
    ...plannedBundle.lock,
    images: [
      ...plannedBundle.lock.images,
      imageItem('flannel', 'ghcr.io/flannel-io/flannel:v0.28.4'),
      imageItem('clouder', 'clouder.dev/clouder:0.1.0'),
    ],
  },
}

export interface TestContext extends PhaseContext {
  readonly notes: readonly string[]
}

/** What a phase plans from, with hosts of the test; notes are kept. */
export function phaseContext(
  hosts: readonly HostReader[],
  spec: ClusterSpec = specOf('addons: {profile: minimal}'),
  ignorePreflight: readonly string[] = [],
): TestContext {
  const notes: string[] = []
  return {
    spec,
    hosts,
    endpoint: {internal: '10.0.0.10:6443', external: '10.0.0.10:6443', certSans: []},
    cloud: {},
    bundles: () => plannedBundle,
    renderer,
    kube: () => Promise.resolve(undefined),
    ignorePreflight,
    note: (text, host) => notes.push(host === undefined ? text : `${host}: ${text}`),
    notes,
  }
}

/** What the files' probe prints when they are as wanted. */
export const fileLines = (files: readonly ManagedFile[]): string =>
  files.map(({path, content, mode}) => `file=${mode.toString(8)} ${digestOf(content)} ${path}\n`).join('')
