import type {CatalogueImage, CatalogueManifests, CatalogueTool} from './catalogue-items.ts'
import {AUTHORITIES_RECIPE, IMAGE_TOOLS_RECIPE} from './debian-recipes.ts'
import type {DebianRecipe} from './debian-recipes.ts'
import {ADDON_PINS, PUBLISHED_PINS} from './pins.ts'
import {publishedAddonImages} from './published-addon-images.ts'

const {awsCloudProvider, helm, localPathProvisioner, metricsServer, shell} = ADDON_PINS

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

/** Images that addons run. */
export function addonImages(): readonly CatalogueImage[] {
  return [
    goImage('aws-cloud-provider', {
      module: 'aws-cloud-provider',
      version: awsCloudProvider,
      reference: `registry.k8s.io/provider-aws/cloud-controller-manager:v${awsCloudProvider}`,
      binaries: {'aws-cloud-controller-manager': 'bin/aws-cloud-controller-manager'},
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
  return [volumeSnapshotDefinitions]
}

/** Programs of the machine that clouder runs on. */
export function addonTools(): readonly CatalogueTool[] {
  return [
    {kind: 'tool', name: 'helm', version: helm, recipe: {from: 'go', module: 'helm', binaries: ['helm']}},
  ]
}
