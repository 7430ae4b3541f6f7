import {BundleError} from '../errors.ts'
import type {Bundle, ImageItem} from './types.ts'

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

/** A program of Debian packages, with the libraries it loads. */
export interface DebianProgram {
  /** Path in the package, below `/usr` where usr-merged: `usr/sbin/criu`. */
  readonly path: string
  /** Further names it answers to. */
  readonly names?: readonly string[]
}

export interface DebianRecipe {
  readonly from: 'debian'
  /** `stable`: the machine's own suites; `testing`: Debian's testing suite on the same mirror. */
  readonly suite: 'stable' | 'testing'
  readonly packages: readonly string[]
  readonly programs: readonly DebianProgram[]
  /** Folders of plugins that the programs open by name: `usr/lib/<triplet>/xtables`. */
  readonly plugins: readonly string[]
}

export interface GoRecipe {
  readonly from: 'go'
  readonly module: string
  /** Binaries of the component: one for a binary, all of them for an archive. */
  readonly binaries: readonly string[]
}

export interface CatalogueFile {
  readonly kind: 'binary' | 'archive'
  readonly name: string
  readonly version: string
  readonly recipe: GoRecipe | DebianRecipe
}

export interface CatalogueImage {
  readonly kind: 'image'
  readonly name: string
  readonly version: string
  /** As manifests name it: `registry.k8s.io/kube-apiserver:v1.35.4`. */
  readonly reference: string
  /** How the go source makes it. */
  readonly recipe: {
    readonly module: string
    /** Path in the image per binary. */
    readonly binaries: Readonly<Record<string, string>>
    /** Debian programs in a layer below, shared by the images that want them. */
    readonly tools?: DebianRecipe
    readonly entrypoint: readonly string[]
    readonly command?: readonly string[]
  }
}

export interface Catalogue {
  readonly kubernetes: string
  readonly components: readonly GoComponent[]
  readonly files: readonly CatalogueFile[]
  readonly images: readonly CatalogueImage[]
}

interface KubernetesPins {
  /** Tags as `kubeadm config images list` of that version prints them. */
  readonly etcd: string
  readonly coredns: string
  readonly pause: string
}

const PINS: Readonly<Record<string, KubernetesPins>> = {
  '1.34.4': {etcd: '3.6.5-0', coredns: 'v1.12.1', pause: '3.10.1'},
  '1.35.4': {etcd: '3.6.6-0', coredns: 'v1.13.1', pause: '3.10.1'},
}

const CONTAINERD = '2.3.7'
const RUNC = '1.4.3'
const CNI_PLUGINS = '1.9.1'
const FLANNEL = '0.28.4'
const CRIU = '4.2'
const HOST_TOOLS = '1'
const SMOKE = '1'

/** The image of the smoke test's pods: HTTP server, client, resolver and a counter with a token in memory. */
export const SMOKE_REFERENCE = `clouder.dev/smoke:${SMOKE}`

/** Kubernetes versions a bundle can be built for, oldest first. */
export function supportedVersions(): readonly string[] {
  return Object.keys(PINS)
}

/** Everything a bundle for a Kubernetes version holds. Throws BundleError VERSION_NOT_IN_BUNDLE. */
export function catalogueFor(kubernetes: string): Catalogue {
  const pins = PINS[kubernetes]
  if (pins === undefined) {
    throw new BundleError(
      'VERSION_NOT_IN_BUNDLE',
      `no bundle can be built for Kubernetes ${kubernetes}; known versions are ${supportedVersions().join(', ')}`,
      {suggestions: supportedVersions().map((version) => `clouder bundle build --kubernetes ${version}`)},
    )
  }
  return {
    kubernetes,
    components: goComponents(kubernetes, pins),
    files: catalogueFiles(kubernetes),
    images: catalogueImages(kubernetes, pins),
  }
}

/** Every image reference that a cluster of that version uses, the CNI's and the smoke test's too. */
export function expectedReferences(kubernetes: string): readonly string[] {
  return catalogueFor(kubernetes).images.map((image) => image.reference)
}

const WORKER_IMAGES: ReadonlySet<string> = new Set(['kube-proxy', 'pause', 'coredns', 'flannel', 'smoke'])

/** The images that a machine of a role needs before its pods start. */
export function imagesFor(bundle: Bundle, role: 'control-plane' | 'worker'): readonly ImageItem[] {
  if (role === 'control-plane') return bundle.lock.images
  return bundle.lock.images.filter((image) => WORKER_IMAGES.has(image.name))
}

const CNI_BINARIES: Readonly<Record<string, readonly string[]>> = {
  ipam: ['dhcp', 'host-local', 'static'],
  main: ['bridge', 'dummy', 'host-device', 'ipvlan', 'loopback', 'macvlan', 'ptp', 'tap', 'vlan'],
  meta: ['bandwidth', 'firewall', 'portmap', 'sbr', 'tuning', 'vrf'],
}

const CONTAINERD_BINARIES = ['containerd', 'containerd-shim-runc-v2', 'ctr']

const KUBERNETES_BINARIES = [
  'kubeadm',
  'kubelet',
  'kubectl',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kube-proxy',
]

/** Version of a tag without its leading v and its build number: `3.6.6-0` is module version 3.6.6. */
function versionOfTag(tag: string): string {
  return tag.replace(/^v/, '').replace(/-\d+$/, '')
}

function pathsOf(names: readonly string[], path: (name: string) => string): Readonly<Record<string, string>> {
  return Object.fromEntries(names.map((name) => [name, path(name)]))
}

function goComponents(kubernetes: string, pins: KubernetesPins): readonly GoComponent[] {
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

function catalogueFiles(kubernetes: string): readonly CatalogueFile[] {
  const binary = (module: string, name: string, version: string): CatalogueFile => ({
    kind: 'binary',
    name,
    version,
    recipe: {from: 'go', module, binaries: [name]},
  })
  return [
    ...['kubeadm', 'kubelet', 'kubectl'].map((name) => binary(`kubernetes-${kubernetes}`, name, kubernetes)),
    ...CONTAINERD_BINARIES.map((name) => binary('containerd', name, CONTAINERD)),
    binary('runc', 'runc', RUNC),
    {
      kind: 'archive',
      name: 'cni-plugins',
      version: CNI_PLUGINS,
      recipe: {
        from: 'go',
        module: 'cni-plugins',
        binaries: Object.values(CNI_BINARIES).flat(),
      },
    },
    {kind: 'archive', name: 'criu', version: CRIU, recipe: CRIU_RECIPE},
    {kind: 'archive', name: 'host-tools', version: HOST_TOOLS, recipe: HOST_TOOLS_RECIPE},
  ]
}

/** The oldest version that dumps a process with a TCP socket on a 6.18 kernel is in testing only. */
const CRIU_RECIPE: DebianRecipe = {
  from: 'debian',
  suite: 'testing',
  packages: ['criu'],
  programs: [{path: 'usr/sbin/criu'}],
  plugins: [],
}

const NETWORK_PROGRAMS: readonly DebianProgram[] = [
  {
    path: 'usr/sbin/xtables-nft-multi',
    names: [
      'iptables',
      'iptables-save',
      'iptables-restore',
      'ip6tables',
      'ip6tables-save',
      'ip6tables-restore',
    ],
  },
  {path: 'usr/sbin/nft'},
  {path: 'usr/sbin/conntrack'},
  {path: 'usr/bin/ip'},
]
const XTABLES = 'usr/lib/<triplet>/xtables'

const HOST_TOOLS_RECIPE: DebianRecipe = {
  from: 'debian',
  suite: 'stable',
  packages: ['iptables', 'nftables', 'conntrack', 'iproute2', 'socat', 'ethtool'],
  programs: [...NETWORK_PROGRAMS, {path: 'usr/bin/socat'}, {path: 'usr/sbin/ethtool'}],
  plugins: [XTABLES],
}

/** What kube-proxy and flannel call, and a shell for flannel's configuration script. */
const IMAGE_TOOLS_RECIPE: DebianRecipe = {
  from: 'debian',
  suite: 'stable',
  packages: ['iptables', 'nftables', 'conntrack', 'iproute2', 'dash', 'coreutils', 'sed', 'grep'],
  programs: [
    ...NETWORK_PROGRAMS,
    {path: 'usr/bin/dash', names: ['sh']},
    ...['cat', 'chmod', 'cp', 'ln', 'ls', 'mkdir', 'mv', 'rm', 'sleep', 'sync', 'test', 'touch', 'true'].map(
      (name) => ({path: `usr/bin/${name}`}),
    ),
    {path: 'usr/bin/sed'},
    {path: 'usr/bin/grep'},
  ],
  plugins: [XTABLES],
}

function catalogueImages(kubernetes: string, pins: KubernetesPins): readonly CatalogueImage[] {
  const controlPlane = (name: string): CatalogueImage => ({
    kind: 'image',
    name,
    version: kubernetes,
    reference: `registry.k8s.io/${name}:v${kubernetes}`,
    recipe: {module: `kubernetes-${kubernetes}`, binaries: {[name]: `usr/local/bin/${name}`}, entrypoint: []},
  })
  const etcd = versionOfTag(pins.etcd)
  const coredns = versionOfTag(pins.coredns)
  return [
    ...['kube-apiserver', 'kube-controller-manager', 'kube-scheduler'].map(controlPlane),
    withTools(controlPlane('kube-proxy')),
    {
      kind: 'image',
      name: 'etcd',
      version: etcd,
      reference: `registry.k8s.io/etcd:${pins.etcd}`,
      recipe: {
        module: `etcd-${etcd}`,
        binaries: {
          etcd: 'usr/local/bin/etcd',
          etcdctl: 'usr/local/bin/etcdctl',
          etcdutl: 'usr/local/bin/etcdutl',
        },
        entrypoint: [],
      },
    },
    {
      kind: 'image',
      name: 'coredns',
      version: coredns,
      reference: `registry.k8s.io/coredns/coredns:${pins.coredns}`,
      recipe: {module: `coredns-${coredns}`, binaries: {coredns: 'coredns'}, entrypoint: ['/coredns']},
    },
    {
      kind: 'image',
      name: 'pause',
      version: pins.pause,
      reference: `registry.k8s.io/pause:${pins.pause}`,
      recipe: {module: 'pause', binaries: {pause: 'pause'}, entrypoint: ['/pause']},
    },
    withTools({
      kind: 'image',
      name: 'flannel',
      version: FLANNEL,
      reference: `ghcr.io/flannel-io/flannel:v${FLANNEL}`,
      recipe: {
        module: 'flannel',
        binaries: {flannel: 'opt/bin/flanneld'},
        entrypoint: ['/opt/bin/flanneld'],
      },
    }),
    {
      kind: 'image',
      name: 'smoke',
      version: SMOKE,
      reference: SMOKE_REFERENCE,
      recipe: {module: 'smoke', binaries: {smoke: 'smoke'}, entrypoint: ['/smoke']},
    },
  ]
}

function withTools(image: CatalogueImage): CatalogueImage {
  return {...image, recipe: {...image.recipe, tools: IMAGE_TOOLS_RECIPE}}
}
