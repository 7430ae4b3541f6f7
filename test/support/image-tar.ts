import {OCI_LAYOUT, writeImage, writeLayer} from '../../src/bundle/oci.ts'
import {writeTar, type TreeEntry} from '../../src/bundle/tar.ts'

export interface ImageOfTree {
  /** As a pod names it. */
  readonly name: string
  readonly arch: 'amd64' | 'arm64'
  readonly entrypoint: readonly string[]
  readonly command: readonly string[]
}

/** Writes a container image of some files as an OCI layout in a tar. */
export async function writeImageTar(
  {name, arch, entrypoint, command}: ImageOfTree,
  tree: readonly TreeEntry[],
  {blobDir, path}: {readonly blobDir: string; readonly path: string},
  signal: AbortSignal,
): Promise<void> {
  const layer = await writeLayer(tree, blobDir, 'image', signal)
  const {manifest, blobs} = await writeImage([layer], {arch, entrypoint, command}, blobDir)
  const {digest, sizeBytes: size, mediaType} = manifest
  const index = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      {
        ...{mediaType, digest, size, platform: {architecture: arch, os: 'linux'}},
        annotations: {'io.containerd.image.name': name},
      },
    ],
  }
  const entries: readonly TreeEntry[] = [
    {path: 'oci-layout', text: OCI_LAYOUT, mode: 0o644},
    {path: 'index.json', text: JSON.stringify(index), mode: 0o644},
    ...[manifest, ...blobs].map((blob) => ({
      path: `blobs/sha256/${blob.digest.slice('sha256:'.length)}`,
      file: blob.path,
      mode: 0o644,
    })),
  ]
  await writeTar(entries, path, signal)
}
