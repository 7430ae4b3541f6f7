import {createHash} from 'node:crypto'
import {TAR_END, tarHeader, tarPadding} from './tar.ts'

/** By this annotation of the manifest containerd knows a checkpoint, and restores it instead of running it. */
const CONTAINER_ANNOTATION = 'org.criu.checkpoint.container.name'
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json'

export interface CheckpointImage {
  /** Of the manifest: what a pod names the image by. */
  readonly digest: string
  /** The OCI layout as a tar: for `ctr -n k8s.io images import -`. */
  readonly content: () => AsyncIterable<Uint8Array>
}

/**
 * A checkpoint as an image for backend CreateImage: one layer, the container's archive as the runtime wrote it. Size
 * and digest of the archive are those of the sealed metadata. The same archive gives the same image.
 */
export function checkpointImage(options: {
  /** `checkpoint.clouder.dev/namespace/name:tag`. */
  readonly reference: string
  readonly container: string
  readonly arch: 'amd64' | 'arm64'
  readonly archive: () => AsyncIterable<Uint8Array>
  readonly archiveBytes: number
  /** 64 hex digits. */
  readonly archiveSha256: string
}): CheckpointImage {
  const {reference, container, arch, archive, archiveBytes, archiveSha256} = options
  const layer = {
    mediaType: 'application/vnd.oci.image.layer.v1.tar',
    digest: `sha256:${archiveSha256}`,
    size: archiveBytes,
  }
  const config = blobOf({
    architecture: arch,
    os: 'linux',
    config: {},
    rootfs: {type: 'layers', diff_ids: [layer.digest]},
  })
  const manifest = blobOf({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: descriptorOf('application/vnd.oci.image.config.v1+json', config),
    layers: [layer],
    annotations: {[CONTAINER_ANNOTATION]: container},
  })
  const index = blobOf({
    schemaVersion: 2,
    mediaType: INDEX_TYPE,
    manifests: [
      {
        ...descriptorOf(MANIFEST_TYPE, manifest),
        annotations: {
          'io.containerd.image.name': reference,
          'org.opencontainers.image.ref.name': reference,
        },
      },
    ],
  })
  const content = async function* () {
    yield* fileOf('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}'))
    yield* fileOf('index.json', index.bytes)
    yield* fileOf(`blobs/sha256/${config.sha256}`, config.bytes)
    yield* fileOf(`blobs/sha256/${manifest.sha256}`, manifest.bytes)
    yield tarHeader(`blobs/sha256/${archiveSha256}`, archiveBytes)
    yield* archive()
    yield tarPadding(archiveBytes)
    yield TAR_END
  }
  return {digest: `sha256:${manifest.sha256}`, content}
}

interface Blob {
  readonly bytes: Buffer
  readonly sha256: string
}

function blobOf(document: unknown): Blob {
  const bytes = Buffer.from(JSON.stringify(document))
  return {bytes, sha256: createHash('sha256').update(bytes).digest('hex')}
}

const descriptorOf = (mediaType: string, {bytes, sha256}: Blob) => ({
  mediaType,
  digest: `sha256:${sha256}`,
  size: bytes.length,
})

function* fileOf(path: string, bytes: Buffer): Generator<Uint8Array> {
  yield tarHeader(path, bytes.length)
  yield bytes
  yield tarPadding(bytes.length)
}
