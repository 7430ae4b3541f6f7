import {rename} from 'node:fs/promises'
import {join} from 'node:path'
import {BundleError} from './errors.ts'
import type {CatalogueBlob, CatalogueImage, CatalogueItem} from './catalogue-items.ts'
import {createDownloads, type Downloads} from './download.ts'
import {publishedImages} from './published-images.ts'
import {publicBaseUrls, releaseAsset, type BaseUrls, type ReleaseAsset} from './release-assets.ts'
import {parseChecksum} from './release-checksums.ts'
import {extractMembers} from './release-extract.ts'
import {expectStatus, httpDefaults, openUrl, readSmall, shownUrl, type HttpOptions} from './release-http.ts'
import type {BundleSource, ProducedFile, SourceContext} from './source.ts'
import {writeTar} from './tar.ts'
import type {Arch} from './types.ts'

const CHECKSUM_MAX_BYTES = 256 * 1024
const REACHABLE_LIMIT_MS = 2_000

/** Images that are published by nobody: our own. */
const OWN_HOST = 'clouder.dev'

export interface ReleaseOptions {
  /** Default: the public hosts. */
  readonly baseUrls?: BaseUrls
  readonly http?: HttpOptions
}

/**
 * Published binaries and images: dl.k8s.io and GitHub releases, each checked against its published sha256, and container
 * registries, each manifest and blob checked against its digest. It lacks what no project publishes for every
 * distribution: portable CRIU, host tools, our smoke image. Behind a proxy the caller turns on
 * `http.setGlobalProxyFromEnv()`, which fetch heeds.
 */
export function releaseSource({
  baseUrls = publicBaseUrls,
  http = httpDefaults,
}: ReleaseOptions = {}): BundleSource {
  const downloads = createDownloads(http)
  const images = publishedImages(baseUrls.registry, downloads, http)
  return {
    kind: 'release',
    reachable: (context) => isReachable(baseUrls, context),
    has: (item) =>
      item.kind === 'image' ? isPublished(item) : releaseAsset(item, 'amd64', baseUrls) !== undefined,
    // The public addresses name the content; a mirror of them changes nothing.
    inputs: (item, {arch}) =>
      Promise.resolve([item.kind === 'image' ? item.reference : assetOf(item, arch, publicBaseUrls).url]),
    async file(item, context) {
      return fetchFile(item, assetOf(item, context.arch, baseUrls), downloads, context)
    },
    async image(item, context) {
      if (!isPublished(item)) throw notPublished(item)
      const {arch, signal} = context
      const dir = join(workDirOf(context), 'blobs')
      const progress = (text: string) => context.progress(text)
      const pulled = await images.pull({reference: item.reference, arch, dir, progress, signal})
      const {manifest, blobs, tagDigest} = pulled
      return {manifest, blobs, source: `${item.reference}@${tagDigest}`, version: item.version, packages: []}
    },
  }
}

function isPublished(item: CatalogueImage): boolean {
  return !item.reference.startsWith(`${OWN_HOST}/`)
}

function assetOf(item: CatalogueBlob, arch: Arch, baseUrls: BaseUrls): ReleaseAsset {
  const asset = releaseAsset(item, arch, baseUrls)
  if (asset === undefined) throw notPublished(item)
  return asset
}

function notPublished({name}: CatalogueItem): BundleError {
  return new BundleError('BUILD_FAILED', `${name} has no published release, only --source go builds it`)
}

/** Downloads of one architecture; of no use once the items are in a bundle. */
function workDirOf({workDir, arch}: SourceContext): string {
  return join(workDir, 'release', arch)
}

/** Asks for what only the real hosts say, so that the page of a filtering proxy is not taken for them. */
async function isReachable(baseUrls: BaseUrls, context: SourceContext): Promise<boolean> {
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(REACHABLE_LIMIT_MS)])
  const checksumUrl = `${baseUrls.kubernetes}/release/v${context.kubernetes}/bin/linux/${context.arch}/kubelet.sha256`
  const registryUrl = `${baseUrls.registry('registry.k8s.io')}/v2/`
  const askKubernetes = async () => {
    const response = await openUrl(checksumUrl, {}, signal)
    await expectStatus(checksumUrl, response)
    const content = await readSmall(checksumUrl, response, CHECKSUM_MAX_BYTES, signal)
    parseChecksum(Buffer.from(content).toString('utf8'), 'kubelet', checksumUrl)
  }
  const askRegistry = async () => {
    const response = await openUrl(registryUrl, {}, signal)
    await expectStatus(registryUrl, response, [200, 401])
    await response.body?.cancel()
  }
  const answers = await Promise.allSettled([askKubernetes(), askRegistry()])
  context.signal.throwIfAborted()
  return answers.every(({status}) => status === 'fulfilled')
}

async function fetchFile(
  item: CatalogueBlob,
  asset: ReleaseAsset,
  downloads: Downloads,
  context: SourceContext,
): Promise<ProducedFile> {
  const {signal} = context
  const checksums = await downloads.text(asset.checksumUrl, CHECKSUM_MAX_BYTES, signal)
  const sha256 = parseChecksum(checksums, asset.fileName, shownUrl(asset.checksumUrl))
  // Named after the published file, because items out of one archive share its download.
  const file = join(workDirOf(context), item.version, asset.fileName)
  const what = `${item.name} ${item.version}`
  await downloads.file({what, url: asset.url, file, sha256}, (text) => context.progress(text), signal)
  const path = await takeOut(item, asset, file, signal)
  return {path, source: shownUrl(asset.url), version: item.version, packages: []}
}

/** Path of the item's final bytes. */
async function takeOut(
  item: CatalogueBlob,
  {members}: ReleaseAsset,
  file: string,
  signal: AbortSignal,
): Promise<string> {
  if (members.length === 0) return file
  const folder = `${file}.${item.name}`
  await extractMembers(file, members, folder, signal)
  if (item.kind !== 'archive') return join(folder, item.name)
  const tar = join(folder, `${item.name}.tar`)
  const entries = members.map((path) => ({path, file: join(folder, path), mode: 0o755}))
  await writeTar(entries, `${tar}.tmp`, signal)
  await rename(`${tar}.tmp`, tar)
  return tar
}
