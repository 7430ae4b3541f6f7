import {pipeline} from 'node:stream/promises'
import {pack} from 'tar-stream'
import type {Pack} from 'tar-stream'
import {BundleError} from './errors.ts'
import {blobPath} from './load.ts'
import {OCI_LAYOUT, renderIndex} from './oci.ts'
import type {Bundle, FileItem, ImageItem} from './types.ts'

const CHUNK_BYTES = 1 << 20
const EPOCH = new Date(0)

/** A tar of the items' compressed files, each named `<contentSha256>-<name>.gz`, an archive `….tar.gz`. */
export async function* tarOfFiles(bundle: Bundle, items: readonly FileItem[]): AsyncIterable<Uint8Array> {
  yield* streamTar(async (archive) => {
    for (const item of items) {
      const suffix = item.kind === 'archive' ? '.tar.gz' : '.gz'
      const name = `${item.contentSha256}-${item.name}${suffix}`
      await addFile(archive, name, bundle, item.path, item.sizeBytes)
    }
  })
}

/** A tar of an OCI layout with the images under their references, as `ctr images import -` takes it; each blob once. */
export async function* tarOfImages(bundle: Bundle, images: readonly ImageItem[]): AsyncIterable<Uint8Array> {
  yield* streamTar(async (archive) => {
    addText(archive, 'oci-layout', OCI_LAYOUT)
    addText(archive, 'index.json', renderIndex(images, bundle.lock.arch))
    const blobs = new Map(
      images.flatMap((image) => image.blobs.map(({digest, sizeBytes}) => [digest, sizeBytes])),
    )
    for (const [digest, sizeBytes] of blobs) {
      const name = blobPath(digest)
      await addFile(archive, name, bundle, `oci/${name}`, sizeBytes)
    }
  })
}

async function* streamTar(fill: (archive: Pack) => Promise<void>): AsyncIterable<Uint8Array> {
  const archive = pack()
  let failure: Error | undefined
  const filled = fill(archive).then(
    () => archive.finalize(),
    (error: unknown) => {
      failure = error instanceof Error ? error : new Error(String(error))
      archive.destroy()
    },
  )
  try {
    for await (const chunk of archive) yield chunk as Uint8Array
  } catch (error) {
    // A stream that broke tells less than what broke it.
    await filled
    throw failure ?? error
  } finally {
    archive.destroy()
    await filled
  }
  if (failure !== undefined) throw failure
}

function addText(archive: Pack, name: string, text: string): void {
  archive.entry({name, mode: 0o644, mtime: EPOCH}, text)
}

async function addFile(
  archive: Pack,
  name: string,
  bundle: Bundle,
  path: string,
  sizeBytes: number,
): Promise<void> {
  const entry = archive.entry({name, mode: 0o644, mtime: EPOCH, size: sizeBytes})
  try {
    await pipeline(bundle.content(path, Math.max(1, Math.min(CHUNK_BYTES, sizeBytes))), entry)
  } catch (error) {
    throw new BundleError('BUNDLE_INVALID', `${path} of bundle ${bundle.dir} cannot be read`, {
      cause: error,
      suggestions: ['clouder bundle verify', `clouder bundle build --kubernetes ${bundle.lock.kubernetes}`],
    })
  }
}
