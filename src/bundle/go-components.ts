import {readdir} from 'node:fs/promises'
import {join, relative} from 'node:path'
import {CNI_PLUGINS, CONTAINERD, FLANNEL, RESTORE, RUNC, SMOKE, versionOfTag} from './pins.ts'
import type {KubernetesPins} from './pins.ts'

/** A pinned Go module in `src/bundle/modules/<module>`; one `go build` makes all its binaries. */
export interface GoComponent {
  /** Folder below `src/bundle/modules`, unique. */
  readonly module: string
  /** Module path and version as the lock's `source` names them; undefined: the code is ours. */
  readonly upstream: string | undefined
  readonly version: string
  /** Import path of the main package per binary. */
  readonly packages: Readonly<Record<string, string>>
  /** `-X` values for the linker. */
  readonly variables: Readonly<Record<string, string>>
  readonly tags?: readonly string[]
  /** Architectures where it needs a C compiler; the result is static all the same. */
  readonly cgo?: readonly string[]
  /** Linked against libseccomp. */
  readonly seccomp?: boolean
}

/** The files of a module's folder that go into its binaries, in order; tests of our own do not. */
export async function buildInputs(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, {recursive: true, withFileTypes: true})
  return entries
    .filter((entry) => entry.isFile() && !entry.name.endsWith('_test.go'))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort()
}

export const CNI_BINARIES: Readonly<Record<string, readonly string[]>> = {
  ipam: ['dhcp', 'host-local', 'static'],
  main: ['bridge', 'dummy', 'host-device', 'ipvlan', 'loopback', 'macvlan', 'ptp', 'tap', 'vlan'],
  meta: ['bandwidth', 'firewall', 'portmap', 'sbr', 'tuning', 'vrf'],
}

export const CONTAINERD_BINARIES = ['containerd', 'containerd-shim-runc-v2', 'ctr']

const KUBERNETES_BINARIES = [
  'kubeadm',
  'kubelet',
  'kubectl',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kube-proxy',
]

function pathsOf(names: readonly string[], path: (name: string) => string): Readonly<Record<string, string>> {
  return Object.fromEntries(names.map((name) => [name, path(name)]))
}

/** The Go modules of a Kubernetes version's bundle, without those of addons. */
export function goComponents(kubernetes: string, pins: KubernetesPins): readonly GoComponent[] {
  const etcd = versionOfTag(pins.etcd)
  const coredns = versionOfTag(pins.coredns)
  return [
    kubernetesComponent(kubernetes),
    {
      module: `etcd-${etcd}`,
      upstream: `go.etcd.io/etcd/server/v3@v${etcd}`,
      version: etcd,
      packages: {
        etcd: 'go.etcd.io/etcd/server/v3',
        etcdctl: 'go.etcd.io/etcd/etcdctl/v3',
        etcdutl: 'go.etcd.io/etcd/etcdutl/v3',
      },
      variables: {},
    },
    {
      module: `coredns-${coredns}`,
      upstream: `github.com/coredns/coredns@v${coredns}`,
      version: coredns,
      packages: {coredns: 'github.com/coredns/coredns'},
      variables: {},
    },
    {
      module: 'containerd',
      upstream: `github.com/containerd/containerd/v2@v${CONTAINERD}`,
      version: CONTAINERD,
      packages: pathsOf(CONTAINERD_BINARIES, (name) => `github.com/containerd/containerd/v2/cmd/${name}`),
      variables: {'github.com/containerd/containerd/v2/version.Version': `v${CONTAINERD}`},
    },
    {
      module: 'runc',
      upstream: `github.com/opencontainers/runc@v${RUNC}`,
      version: RUNC,
      packages: {runc: 'github.com/opencontainers/runc'},
      variables: {'main.version': RUNC},
      tags: ['seccomp', 'netgo', 'osusergo'],
      cgo: ['amd64', 'arm64'],
      seccomp: true,
    },
    {
      module: 'cni-plugins',
      upstream: `github.com/containernetworking/plugins@v${CNI_PLUGINS}`,
      version: CNI_PLUGINS,
      packages: Object.fromEntries(
        Object.entries(CNI_BINARIES).flatMap(([group, names]) =>
          names.map((name) => [name, `github.com/containernetworking/plugins/plugins/${group}/${name}`]),
        ),
      ),
      variables: {
        'github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion': `v${CNI_PLUGINS}`,
      },
    },
    {
      module: 'flannel',
      upstream: `github.com/flannel-io/flannel@v${FLANNEL}`,
      version: FLANNEL,
      packages: {flannel: 'github.com/flannel-io/flannel'},
      variables: {'github.com/flannel-io/flannel/pkg/version.Version': `v${FLANNEL}`},
      tags: ['netgo', 'osusergo'],
      // Its udp backend has a C fast path on amd64 only, without which it does not link there.
      cgo: ['amd64'],
    },
    {
      module: 'pause',
      upstream: undefined,
      version: pins.pause,
      packages: {pause: 'clouder.dev/bundle/pause'},
      variables: {'main.version': pins.pause},
    },
    {
      module: 'smoke',
      upstream: undefined,
      version: SMOKE,
      packages: {smoke: 'clouder.dev/bundle/smoke'},
      variables: {},
    },
    {
      module: 'restore',
      upstream: undefined,
      version: RESTORE,
      packages: {
        'clouder-restore': 'clouder.dev/bundle/restore',
        'clouder-files': 'clouder.dev/bundle/restore/files',
      },
      variables: {},
    },
  ]
}

function kubernetesComponent(version: string): GoComponent {
  const [major = '', minor = ''] = version.split('.')
  const variables = {
    gitVersion: `v${version}`,
    gitMajor: major,
    gitMinor: minor,
    gitTreeState: 'clean',
    gitCommit: 'unknown',
    buildDate: '1970-01-01T00:00:00Z',
  }
  return {
    module: `kubernetes-${version}`,
    upstream: `k8s.io/kubernetes@v${version}`,
    version,
    packages: pathsOf(KUBERNETES_BINARIES, (name) => `k8s.io/kubernetes/cmd/${name}`),
    variables: Object.fromEntries(
      Object.entries(variables).map(([name, value]) => [`k8s.io/component-base/version.${name}`, value]),
    ),
  }
}
