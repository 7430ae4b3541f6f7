import {addonImages, addonManifests, addonTools} from './addon-catalogue.ts'
import {addonComponents} from './addon-components.ts'
import type {Catalogue, CatalogueFile, CatalogueImage} from './catalogue-items.ts'
import {BundleError} from './errors.ts'
import {CRIU_RECIPE, HOST_TOOLS_RECIPE, IMAGE_TOOLS_RECIPE, NODE_RECIPE} from './debian-recipes.ts'
import type {DebianRecipe} from './debian-recipes.ts'
import {CNI_BINARIES, CONTAINERD_BINARIES, goComponents} from './go-components.ts'
import {
  CLOUDER,
  CNI_PLUGINS,
  CONTAINERD,
  CRIU,
  FLANNEL,
  HOST_TOOLS,
  PINS,
  RESTORE,
  RUNC,
  SMOKE,
  versionOfTag,
} from './pins.ts'
import type {KubernetesPins} from './pins.ts'
import type {Bundle, ImageItem} from './types.ts'

/** The image of the smoke test's pods: HTTP server, client, resolver and a counter with a token in memory. */
export const SMOKE_REFERENCE = `clouder.dev/smoke:${SMOKE}`

/** The image of the programs that run in the cluster: `node-agent` and `controller`. */
export const PROGRAM_REFERENCE = `clouder.dev/clouder:${CLOUDER}`

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
    components: [...goComponents(kubernetes, pins), ...addonComponents()],
    files: catalogueFiles(kubernetes),
    images: [...catalogueImages(kubernetes, pins), ...addonImages()],
    manifests: addonManifests(),
    tools: addonTools(),
  }
}

/**
 * Every image reference that a cluster of that version uses, the CNI's, the smoke test's and those of addons too, less
 * what only bundles of published images have.
 */
export function expectedReferences(kubernetes: string): readonly string[] {
  return catalogueFor(kubernetes).images.flatMap(({recipe, reference}) =>
    'published' in recipe ? [] : [reference],
  )
}

const WORKER_IMAGES: ReadonlySet<string> = new Set([
  'kube-proxy',
  'pause',
  'coredns',
  'flannel',
  'smoke',
  'clouder',
])

/** The images that a machine of a role needs before its pods start; of those of addons, the chosen ones by name. */
export function imagesFor(
  bundle: Bundle,
  role: 'control-plane' | 'worker',
  chosen: ReadonlySet<string>,
): readonly ImageItem[] {
  return bundle.lock.images.filter(({name, addon}) =>
    addon === true ? chosen.has(name) : role === 'control-plane' || WORKER_IMAGES.has(name),
  )
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
    binary('restore', 'clouder-restore', RESTORE),
    binary('restore', 'clouder-files', RESTORE),
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

function catalogueImages(kubernetes: string, pins: KubernetesPins): readonly CatalogueImage[] {
  const ofKubernetes = (name: string, tools?: DebianRecipe): CatalogueImage => ({
    kind: 'image',
    name,
    version: kubernetes,
    reference: `registry.k8s.io/${name}:v${kubernetes}`,
    recipe: {
      module: `kubernetes-${kubernetes}`,
      binaries: {[name]: `usr/local/bin/${name}`},
      entrypoint: [],
      ...(tools === undefined ? {} : {tools}),
    },
  })
  const etcd = versionOfTag(pins.etcd)
  const coredns = versionOfTag(pins.coredns)
  return [
    ...['kube-apiserver', 'kube-controller-manager', 'kube-scheduler'].map((name) => ofKubernetes(name)),
    ofKubernetes('kube-proxy', IMAGE_TOOLS_RECIPE),
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
      recipe: {
        module: `coredns-${coredns}`,
        binaries: {coredns: 'coredns'},
        entrypoint: ['/coredns'],
      },
    },
    {
      kind: 'image',
      name: 'pause',
      version: pins.pause,
      reference: `registry.k8s.io/pause:${pins.pause}`,
      recipe: {module: 'pause', binaries: {pause: 'pause'}, entrypoint: ['/pause']},
    },
    {
      kind: 'image',
      name: 'flannel',
      version: FLANNEL,
      reference: `ghcr.io/flannel-io/flannel:v${FLANNEL}`,
      recipe: {
        module: 'flannel',
        binaries: {flannel: 'opt/bin/flanneld'},
        entrypoint: ['/opt/bin/flanneld'],
        tools: IMAGE_TOOLS_RECIPE,
      },
    },
    {
      kind: 'image',
      name: 'smoke',
      version: SMOKE,
      reference: SMOKE_REFERENCE,
      recipe: {module: 'smoke', binaries: {smoke: 'smoke'}, entrypoint: ['/smoke']},
    },
    {
      kind: 'image',
      name: 'clouder',
      version: CLOUDER,
      reference: PROGRAM_REFERENCE,
      recipe: {
        program: 'dist/programs/cluster.js',
        path: 'usr/share/clouder/cluster.js',
        tools: NODE_RECIPE,
        entrypoint: ['/usr/bin/node', '/usr/share/clouder/cluster.js'],
      },
    },
  ]
}
