import {createReadStream} from 'node:fs'
import {join} from 'node:path'
import {pipeline} from 'node:stream/promises'
import {pack} from 'tar-stream'
import type {Pack} from 'tar-stream'
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
      await addFile(archive, name, join(bundle.dir, item.path), item.sizeBytes)
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
      await addFile(archive, name, join(bundle.dir, 'oci', name), sizeBytes)
    }
  })
}

/** Where a blob is in an OCI layout. */
export function blobPath(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`
}

async function* streamTar(fill: (archive: Pack) => Promise<void>): AsyncIterable<Uint8Array> {
  const archive = pack()
  const filled = fill(archive).then(
    () => archive.finalize(),
    // The reader below meets the error; nobody else waits for it.
    (error: unknown) => archive.destroy(error instanceof Error ? error : new Error(String(error))),
  )
  try {
    for await (const chunk of archive) yield chunk as Uint8Array
  } finally {
    archive.destroy()
    await filled
  }
}

function addText(archive: Pack, name: string, text: string): void {
  archive.entry({name, mode: 0o644, mtime: EPOCH}, text)
}

async function addFile(archive: Pack, name: string, path: string, sizeBytes: number): Promise<void> {
  const entry = archive.entry({name, mode: 0o644, mtime: EPOCH, size: sizeBytes})
  await pipeline(createReadStream(path, {highWaterMark: CHUNK_BYTES}), entry)
}
