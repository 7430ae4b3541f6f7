import {z} from 'zod'
import {manifestsOf} from '../../bundle/contents.ts'
import {archSchema} from '../../bundle/types.ts'
import {kubeObjectSchema, type KubeObject, type KubeReader} from '../../kubernetes/types.ts'
import type {Addon, ClusterFacts} from '../../platform/addons/addon.ts'
import {ADDONS} from '../../platform/addons/catalogue.ts'
import {selectAddons, type SelectedAddon} from '../../platform/addons/selection.ts'
import {PlatformError} from '../../platform/errors.ts'
import {installedReleases} from '../../platform/release/history.ts'
import {notReady} from '../../platform/release/readiness.ts'
import type {NotReady, Release} from '../../platform/release/types.ts'
import type {PhaseContext} from './context.ts'

type FactContext = Pick<PhaseContext, 'spec' | 'endpoint' | 'cloud' | 'hosts' | 'bundles'>

/** An addon as it is waited for. */
export interface InstalledAddon {
  readonly id: string
  readonly objects: readonly KubeObject[]
  /** What is not ready besides what the conditions of its objects tell. */
  readonly ownNotReady: (kube: KubeReader) => Promise<readonly NotReady[]>
}

/** A selected addon as what is applied of it. */
export interface AddonRelease extends SelectedAddon, InstalledAddon {
  readonly release: Release
}

/** The addons of the spec with their objects. Throws PlatformError for what the spec or the bundle does not allow. */
export async function addonReleases(
  context: FactContext,
  selected: readonly SelectedAddon[] = selectAddons(context.spec),
): Promise<readonly AddonRelease[]> {
  const facts = await clusterFacts(
    context,
    selected.map(({addon}) => addon),
  )
  return selected.map(({addon, parameters}) => {
    const release = releaseOf({addon, parameters}, facts)
    return {
      ...{addon, parameters, release, id: addon.id, objects: awaited(addon, release.objects)},
      ownNotReady: (kube) => addon.ready(kube, parameters, facts),
    }
  })
}

/** The addons that a cluster has, by what it says itself: no bundle is needed. */
export async function installedAddons(
  {spec, endpoint, cloud}: Pick<PhaseContext, 'spec' | 'endpoint' | 'cloud'>,
  kube: KubeReader,
): Promise<readonly InstalledAddon[]> {
  const facts = {
    spec,
    cloud,
    apiAddress: endpoint.internal,
    image: (name: string) => {
      throw notInBundle('image', name)
    },
    manifests: (name: string) => {
      throw notInBundle('manifests', name)
    },
  }
  return (await installedReleases(kube, 'addon')).map(({name, objects, parameters}) => {
    // One of another version of clouder may be unknown here.
    const addon = ADDONS.find(({id}) => id === name)
    return {
      id: name,
      objects: awaited(addon, objects),
      ownNotReady: async (reader) => addon?.ready(reader, parameters, facts) ?? [],
    }
  })
}

const awaited = (addon: Addon | undefined, objects: readonly KubeObject[]): readonly KubeObject[] =>
  addon?.isAwaited === undefined ? objects : objects.filter(addon.isAwaited)

/**
 * Whether the bundle has what the addons of the spec need: known before anything is installed. Machines of an
 * architecture that no bundle is for are left to the preflight.
 */
export async function checkAddons(context: FactContext): Promise<void> {
  if (archOf(context.hosts) !== undefined) await addonReleases(context)
}

const archOf = (hosts: FactContext['hosts']): string | undefined =>
  hosts.map(({facts}) => facts.arch).find((arch) => archSchema.safeParse(arch).success)

/** What the objects of addons are made from. */
export async function clusterFacts(
  {spec, endpoint, cloud, hosts, bundles}: FactContext,
  addons: readonly Addon[],
): Promise<ClusterFacts> {
  const bundle = bundles(archOf(hosts) ?? 'amd64')
  const names = new Set(addons.flatMap(({manifests = []}) => manifests))
  const loaded = new Map<string, readonly KubeObject[]>()
  for (const name of names) {
    if (!bundle.lock.manifests.some((item) => item.name === name)) throw notInBundle('manifests', name)
    loaded.set(name, z.array(kubeObjectSchema).parse(await manifestsOf(bundle, name)))
  }
  return {
    spec,
    cloud,
    apiAddress: endpoint.internal,
    image: (name) => {
      const found = bundle.lock.images.find((image) => image.name === name)
      if (found === undefined) throw notInBundle('image', name)
      return {reference: found.reference, digest: found.manifestDigest}
    },
    manifests: (name) => {
      const found = loaded.get(name)
      if (found === undefined) throw notInBundle('manifests', name)
      return found
    },
  }
}

function notInBundle(what: string, name: string): PlatformError {
  return new PlatformError('IMAGE_NOT_IN_BUNDLE', `the bundle has no ${what} ${name}`, {
    suggestions: [
      'build it again: clouder bundle build',
      'images that cannot be built from Go modules need published ones: clouder bundle build --source release',
      'or leave the addon out: --without ID',
    ],
  })
}

function releaseOf({addon, parameters}: SelectedAddon, facts: ClusterFacts): Release {
  return {
    owner: 'addon',
    name: addon.id,
    version: addon.version,
    parameters,
    objects: addon.objects(parameters, facts),
    createdOnce: addon.createdOnce(parameters, facts),
  }
}

/** What of an addon is not ready: by the conditions of its objects, and by what it knows itself. */
export async function addonNotReady(kube: KubeReader, addon: InstalledAddon): Promise<readonly NotReady[]> {
  const found = await Promise.all([notReady(kube, addon.objects), addon.ownNotReady(kube)])
  return found.flat()
}
