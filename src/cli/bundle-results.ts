import type {BundleFolder, BundleLock} from '../bundle/types.ts'
import {formatBytes} from './duration.ts'
import type {ResultOptions} from './result-options.ts'
import {renderTable} from './table.ts'

function sizeOf({files, images, manifests, tools}: BundleLock): number {
  // Images share layers: each blob lies in the bundle once.
  const blobs = new Map(
    images.flatMap((image) => image.blobs.map(({digest, sizeBytes}) => [digest, sizeBytes])),
  )
  const sizes = [...files, ...manifests, ...tools].map(({sizeBytes}) => sizeBytes)
  return [...sizes, ...blobs.values()].reduce((sum, sizeBytes) => sum + sizeBytes, 0)
}

export function bundlesText(bundles: readonly BundleFolder[], {colours, columns}: ResultOptions): string {
  if (bundles.length === 0) return 'no bundles yet: clouder bundle build'
  return renderTable<BundleFolder>(
    [
      {title: 'kubernetes', text: ({lock}) => lock.kubernetes},
      {title: 'arch', text: ({lock}) => lock.arch},
      {title: 'files', text: ({lock}) => String(lock.files.length)},
      {title: 'images', text: ({lock}) => String(lock.images.length)},
      {title: 'packages', text: ({lock}) => String(lock.packages.length)},
      {title: 'size', text: ({lock}) => formatBytes(sizeOf(lock))},
      {title: 'folder', text: ({dir}) => dir},
    ],
    bundles,
    {columns, heading: colours.bold},
  )
}

/** Every item of a bundle: what, which version, from where. */
export function bundleText({dir, lock}: BundleFolder, {colours, columns}: ResultOptions): string {
  const items = [...lock.files, ...lock.images, ...lock.manifests, ...lock.tools]
  const table = renderTable<(typeof items)[number]>(
    [
      {title: 'item', text: ({name}) => name},
      {title: 'kind', text: ({kind}) => kind},
      {title: 'version', text: ({version}) => version},
      {title: 'size', text: ({sizeBytes}) => formatBytes(sizeBytes)},
      {title: 'source', text: ({source}) => source},
    ],
    items,
    {columns, heading: colours.bold},
  )
  return `${table}\n\nKubernetes ${lock.kubernetes} for ${lock.arch}, ${formatBytes(sizeOf(lock))}: ${dir}`
}
