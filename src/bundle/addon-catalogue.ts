import type {CatalogueImage, CatalogueManifests, CatalogueTool} from './catalogue-items.ts'
import {AUTHORITIES_RECIPE, IMAGE_TOOLS_RECIPE} from './debian-recipes.ts'
import type {DebianRecipe} from './debian-recipes.ts'
import {
  ALERTMANAGER_RECIPE,
  NATS_RECIPE,
  NODE_EXPORTER_RECIPE,
  POSTGRESQL_RECIPE,
  PROMETHEUS_RECIPE,
} from './addon-recipes.ts'
import {ADDON_PINS, PUBLISHED_PINS} from './pins.ts'
import {publishedAddonImages} from './published-addon-images.ts'

const {
  helm,
  kubeRouter,
  localPathProvisioner,
  metricsServer,
  shell,
  certManager,
  traefik,
  metallb,
  awsCloudProvider,
  gatewayApi,
  prometheus,
  alertmanager,
  nodeExporter,
  nats,
  postgresql,
} = ADDON_PINS

interface GoImage {
  readonly module: string
  readonly version: string
  readonly reference: string
  /** Path in the image per binary, the entry point first. */
  readonly binaries: Readonly<Record<string, string>>
  readonly tools?: DebianRecipe
}

function goImage(name: string, {module, version, reference, binaries, tools}: GoImage): CatalogueImage {
  const [path = ''] = Object.values(binaries)
  const recipe = {module, binaries, entrypoint: [`/${path}`], tools: tools ?? AUTHORITIES_RECIPE}
  return {kind: 'image', name, version, reference, recipe, addon: true}
}

interface DebianImage {
  readonly package: string
  readonly debian: DebianRecipe
  readonly version: string
  readonly reference: string
  readonly entrypoint: string
}

function debianImage(name: string, {version, reference, entrypoint, ...made}: DebianImage): CatalogueImage {
  const recipe = {...made, entrypoint: [entrypoint]}
  return {kind: 'image', name, version, reference, recipe, addon: true}
}

/** Images that addons run. */
export function addonImages(): readonly CatalogueImage[] {
  return [
    goImage('aws-cloud-provider', {
      module: 'aws-cloud-provider',
      version: awsCloudProvider,
      reference: `registry.k8s.io/provider-aws/cloud-controller-manager:v${awsCloudProvider}`,
      binaries: {'aws-cloud-controller-manager': 'bin/aws-cloud-controller-manager'},
    }),
    goImage('kube-router', {
      module: 'kube-router',
      version: kubeRouter,
      reference: `docker.io/cloudnativelabs/kube-router:v${kubeRouter}`,
      binaries: {'kube-router': 'usr/local/bin/kube-router'},
      tools: IMAGE_TOOLS_RECIPE,
    }),
    goImage('local-path-provisioner', {
      module: 'local-path-provisioner',
      version: localPathProvisioner,
      reference: `docker.io/rancher/local-path-provisioner:v${localPathProvisioner}`,
      binaries: {'local-path-provisioner': 'usr/bin/local-path-provisioner'},
    }),
    goImage('metrics-server', {
      module: 'metrics-server',
      version: metricsServer,
      reference: `registry.k8s.io/metrics-server/metrics-server:v${metricsServer}`,
      binaries: {'metrics-server': 'metrics-server'},
    }),
    ...['controller', 'webhook', 'cainjector', 'acmesolver'].map((name) =>
      goImage(`cert-manager-${name}`, {
        module: 'cert-manager',
        version: certManager,
        reference: `quay.io/jetstack/cert-manager-${name}:v${certManager}`,
        binaries: {[`cert-manager-${name}`]: `app/cmd/${name}/${name}`},
      }),
    ),
    goImage('traefik', {
      module: 'traefik',
      version: traefik,
      reference: `docker.io/library/traefik:v${traefik}`,
      binaries: {traefik: 'usr/local/bin/traefik'},
    }),
    ...['controller', 'speaker'].map((name) =>
      goImage(`metallb-${name}`, {
        module: 'metallb',
        version: metallb,
        reference: `quay.io/metallb/${name}:v${metallb}`,
        binaries: {[`metallb-${name}`]: name},
      }),
    ),
    debianImage('prometheus', {
      package: 'prometheus',
      debian: PROMETHEUS_RECIPE,
      version: prometheus,
      reference: `quay.io/prometheus/prometheus:v${prometheus}`,
      entrypoint: '/bin/prometheus',
    }),
    debianImage('alertmanager', {
      package: 'prometheus-alertmanager',
      debian: ALERTMANAGER_RECIPE,
      version: alertmanager,
      reference: `quay.io/prometheus/alertmanager:v${alertmanager}`,
      entrypoint: '/bin/alertmanager',
    }),
    debianImage('node-exporter', {
      package: 'prometheus-node-exporter',
      debian: NODE_EXPORTER_RECIPE,
      version: nodeExporter,
      reference: `quay.io/prometheus/node-exporter:v${nodeExporter}`,
      entrypoint: '/bin/node_exporter',
    }),
    debianImage('nats', {
      package: 'nats-server',
      debian: NATS_RECIPE,
      version: nats,
      reference: `docker.io/library/nats:${nats}`,
      entrypoint: '/usr/sbin/nats-server',
    }),
    debianImage('postgresql', {
      package: 'postgresql-18',
      debian: POSTGRESQL_RECIPE,
      version: postgresql,
      reference: `docker.io/library/postgres:${postgresql}`,
      entrypoint: '/usr/lib/postgresql/18/bin/postgres',
    }),
    {
      kind: 'image',
      name: 'shell',
      version: shell,
      // Of our own: nobody publishes one that shares its layer with what every node has.
      reference: `clouder.dev/shell:${shell}`,
      recipe: {debian: IMAGE_TOOLS_RECIPE, entrypoint: ['/bin/sh']},
      addon: true,
    },
    ...publishedAddonImages(),
  ]
}

/** Without groups of snapshots, which no driver of the catalogue has. */
const volumeSnapshotDefinitions: CatalogueManifests = {
  kind: 'manifests',
  name: 'volume-snapshot-crds',
  version: PUBLISHED_PINS.sidecars.snapshotter,
  recipe: {
    from: 'go-files',
    module: 'volume-snapshots',
    upstream: `github.com/kubernetes-csi/external-snapshotter/client/v8@v${PUBLISHED_PINS.sidecars.snapshotter}`,
    paths: ['volumesnapshotclasses', 'volumesnapshotcontents', 'volumesnapshots'].map(
      (plural) => `config/crd/snapshot.storage.k8s.io_${plural}.yaml`,
    ),
  },
}

/** Objects that addons install as their authors published them. */
export function addonManifests(): readonly CatalogueManifests[] {
  const crds = (
    name: string,
    upstream: string,
    version: string,
    ...paths: readonly string[]
  ): CatalogueManifests => ({
    kind: 'manifests',
    name: `${name}-crds`,
    version,
    recipe: {
      from: 'go-files',
      module: name,
      upstream: `${upstream}@v${version}`,
      paths,
      kinds: ['CustomResourceDefinition'],
    },
  })
  return [
    volumeSnapshotDefinitions,
    crds('cert-manager', 'github.com/cert-manager/cert-manager', certManager, 'deploy/crds'),
    crds('gateway-api', 'sigs.k8s.io/gateway-api', gatewayApi, 'config/crd/standard'),
    crds(
      'traefik',
      'github.com/traefik/traefik/v3',
      traefik,
      'docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml',
    ),
    crds('metallb', 'go.universe.tf/metallb', metallb, 'config/manifests/metallb-native.yaml'),
  ]
}

/** Programs of the machine that clouder runs on. */
export function addonTools(): readonly CatalogueTool[] {
  return [
    {kind: 'tool', name: 'helm', version: helm, recipe: {from: 'go', module: 'helm', binaries: ['helm']}},
  ]
}
