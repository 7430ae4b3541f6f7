import {createReadStream, createWriteStream} from 'node:fs'
import {mkdir, rename, rm, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {pipeline} from 'node:stream/promises'
import {constants, createZstdCompress} from 'node:zlib'
import {Digester, sha256Of} from './digest.ts'
import type {ProducedBlob} from './source.ts'
import {writeTar} from './tar.ts'
import type {TreeEntry} from './tar.ts'
import type {Arch, ImageItem} from './types.ts'

export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json'
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar+zstd'
// Level 9 and up costs seconds per layer for a few percent.
const ZSTD_LEVEL = 6

/** Content of the file `oci-layout` of an OCI image layout. */
export const OCI_LAYOUT = `${JSON.stringify({imageLayoutVersion: '1.0.0'})}\n`

export interface Layer extends ProducedBlob {
  /** Digest of the uncompressed tar, `sha256:…`. */
  readonly diffId: string
}

export interface ImageSettings {
  readonly arch: Arch
  readonly entrypoint: readonly string[]
  readonly command: readonly string[]
}

/** Writes a compressed layer that depends on the entries alone, named by its digest. */
export async function writeLayer(
  entries: readonly TreeEntry[],
  dir: string,
  name: string,
  signal: AbortSignal,
): Promise<Layer> {
  await mkdir(dir, {recursive: true})
  const tar = join(dir, `${name}.tar`)
  const partial = join(dir, `${name}.tar.zst`)
  await writeTar(entries, tar, signal)
  const content = new Digester()
  const compressed = new Digester()
  const zstd = createZstdCompress({params: {[constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL}})
  await pipeline(createReadStream(tar), content, zstd, compressed, createWriteStream(partial), {signal})
  await rm(tar)
  const {sha256, sizeBytes} = compressed.digest()
  const path = join(dir, sha256)
  await rename(partial, path)
  return {
    path,
    digest: `sha256:${sha256}`,
    sizeBytes,
    mediaType: LAYER_TYPE,
    diffId: `sha256:${content.digest().sha256}`,
  }
}

/** Writes config and manifest of an image made of layers. */
export async function writeImage(
  layers: readonly Layer[],
  settings: ImageSettings,
  dir: string,
): Promise<{manifest: ProducedBlob; blobs: readonly ProducedBlob[]}> {
  const config = await writeBlob(dir, CONFIG_TYPE, {
    architecture: settings.arch,
    os: 'linux',
    created: '1970-01-01T00:00:00Z',
    config: {
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      ...(settings.entrypoint.length === 0 ? {} : {Entrypoint: settings.entrypoint}),
      ...(settings.command.length === 0 ? {} : {Cmd: settings.command}),
      WorkingDir: '/',
    },
    rootfs: {type: 'layers', diff_ids: layers.map((layer) => layer.diffId)},
  })
  const manifest = await writeBlob(dir, MANIFEST_TYPE, {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: descriptor(config),
    layers: layers.map(descriptor),
  })
  return {manifest, blobs: [config, ...layers]}
}

async function writeBlob(dir: string, mediaType: string, content: unknown): Promise<ProducedBlob> {
  const text = JSON.stringify(content)
  const sha256 = sha256Of(text)
  const path = join(dir, sha256)
  await writeFile(path, text)
  return {path, digest: `sha256:${sha256}`, sizeBytes: Buffer.byteLength(text), mediaType}
}

function descriptor(blob: ProducedBlob): {mediaType: string; digest: string; size: number} {
  return {mediaType: blob.mediaType, digest: blob.digest, size: blob.sizeBytes}
}

/** The index of an OCI layout; containerd takes an image's name from the first annotation. */
export function renderIndex(images: readonly ImageItem[], arch: Arch): string {
  const manifests = images.map((image) => ({
    mediaType: image.manifestType ?? MANIFEST_TYPE,
    digest: image.manifestDigest,
    size: image.blobs.find((blob) => blob.digest === image.manifestDigest)?.sizeBytes ?? 0,
    platform: {architecture: arch, os: 'linux'},
    annotations: {
      'io.containerd.image.name': image.reference,
      'org.opencontainers.image.ref.name': image.reference.slice(image.reference.lastIndexOf(':') + 1),
    },
  }))
  return `${JSON.stringify({schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests}, null, 2)}\n`
}
