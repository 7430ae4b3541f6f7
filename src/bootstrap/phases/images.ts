import {imagesFor} from '../../bundle/catalogue.ts'
import {tarOfImages} from '../../bundle/stream.ts'
import type {Bundle, ImageItem} from '../../bundle/types.ts'
import {selectAddons} from '../../platform/addons/selection.ts'
import type {HostStep} from '../engine/types.ts'
import type {HostReader} from '../hosts/host.ts'
import type {Renderer} from '../../base/renderer.ts'
import type {ClouderPhase} from './context.ts'
import {probeHosts, type Observed} from './probe.ts'

export interface ImagesObserved {
  /** Manifest digest by reference. */
  readonly digests: ReadonlyMap<string, string>
  /** References that the kubelet must not remove. */
  readonly pinned: ReadonlySet<string>
  /** containerd is down but has run here: what it holds shows when it is up again, which comes before this phase. */
  readonly stopped: boolean
}

function readImages(observed: Observed): ImagesObserved {
  const digests = observed.all('image').map((line): [string, string] => {
    const [reference = '', digest = ''] = line.split(' ')
    return [reference, digest]
  })
  return {
    digests: new Map(digests),
    pinned: new Set(observed.all('pinned')),
    stopped: observed.one('stopped') === 'yes',
  }
}

const mustBePinned = (image: ImageItem): boolean => image.name === 'pause'

/** Images whose name is absent on a node, names another manifest, or is not safe from removal; pure. */
export function missingImages(
  wanted: readonly ImageItem[],
  {digests, pinned, stopped}: ImagesObserved,
): readonly ImageItem[] {
  if (stopped) return []
  return wanted.filter(
    (image) =>
      digests.get(image.reference) !== image.manifestDigest ||
      (mustBePinned(image) && !pinned.has(image.reference)),
  )
}

const megabytes = (bytes: number): string => `${Math.max(1, Math.round(bytes / 1_000_000))} MB`

function importStep(
  host: HostReader,
  bundle: Bundle,
  images: readonly ImageItem[],
  renderer: Renderer,
): HostStep {
  const sizeBytes = images.reduce((sum, image) => sum + image.sizeBytes, 0)
  const text = renderer.render('images/import.sh', {
    images: images.map(({reference, manifestDigest}) => ({reference, digest: manifestDigest})),
    pinned: images.filter(mustBePinned).map(({reference}) => reference),
  })
  return {
    summary: `import ${images.length} ${images.length === 1 ? 'image' : 'images'} (${megabytes(sizeBytes)})`,
    reason: `not on the node: ${images.map(({reference}) => reference).join(', ')}`,
    on: host,
    run: async (changeable, step) => {
      await changeable.pipe({name: 'images/import.sh', text}, tarOfImages(bundle, images), {
        signal: step.signal,
        onProgress: (sentBytes) => {
          step.progress(`${megabytes(sentBytes)} of ${megabytes(sizeBytes)}`)
        },
      })
    },
  }
}

/** The images of a machine's role in containerd, under the names manifests use and with the digests of the bundle. */
export const imagesPhase: ClouderPhase = {
  id: 'images',
  title: 'Loading the images',
  async plan({spec, hosts, bundles, renderer}, signal) {
    const chosen = new Set(selectAddons(spec).flatMap(({addon}) => addon.images))
    const text = renderer.render('images/probe.sh', {})
    const script = {name: 'images/probe.sh', text}
    const found = await probeHosts('images', hosts, () => script, readImages, signal)
    return found.flatMap(({host, observed}) => {
      const bundle = bundles(host.facts.arch)
      const missing = missingImages(imagesFor(bundle, host.machine.role, chosen), observed)
      return missing.length > 0 ? [importStep(host, bundle, missing, renderer)] : []
    })
  },
}
