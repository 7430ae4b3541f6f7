import {join} from 'node:path'
import type {CatalogueFile, CatalogueImage} from './catalogue.ts'
import {createDownloads, type Downloads} from './download.ts'
import {createRegistry} from './registry.ts'
import {publicBaseUrls, releaseAsset, type BaseUrls, type ReleaseAsset} from './release-assets.ts'
import {parseChecksum} from './release-checksums.ts'
import {extractMember, repackMembers} from './release-extract.ts'
import {expectStatus, httpDefaults, openUrl, readSmall, shownUrl, type HttpOptions} from './release-http.ts'
import type {BundleSource, ProducedFile, ProducedImage, SourceContext} from './source.ts'

const CHECKSUM_MAX_BYTES = 256 * 1024
const REACHABLE_LIMIT_MS = 2_000

/** Images that are published by nobody: our own. */
const OWN_HOST = 'clouder.dev'

export interface ReleaseOptions {
  /** Makes what no project publishes for every distribution: portable CRIU and host tools, our smoke image. */
  readonly fallback: BundleSource
  readonly baseUrls?: BaseUrls
  readonly http?: HttpOptions
}

/**
 * Published binaries and images: dl.k8s.io and GitHub releases, each checked against its published sha256, and container
 * registries, each manifest and blob checked against its digest. Behind a proxy the caller turns on
 * `http.setGlobalProxyFromEnv()`, which fetch heeds.
 */
export function releaseSource(options: ReleaseOptions): BundleSource {
  const {fallback, baseUrls = publicBaseUrls, http = httpDefaults} = options
  const downloads = createDownloads(http)
  const registry = createRegistry(baseUrls.registry, downloads, http)
  return {
    kind: 'release',
    reachable: (context) => isReachable(baseUrls, context),
    has: (item) => isPublished(item, baseUrls) || fallback.has(item),
    async inputs(item, context) {
      if (!isPublished(item, baseUrls)) return fallback.inputs(item, context)
      return item.kind === 'image'
        ? [`release ${item.reference}`]
        : [`release ${releaseAsset(item, context.arch, publicBaseUrls)?.url ?? ''}`]
    },
    async file(item, context) {
      const asset = releaseAsset(item, context.arch, baseUrls)
      return asset === undefined ? fallback.file(item, context) : fetchFile(item, asset, downloads, context)
    },
    async image(item, context) {
      if (!isPublished(item, baseUrls)) return fallback.image(item, context)
      const {arch, signal} = context
      const pulled = await registry.pull({
        reference: item.reference,
        arch,
        dir: join(context.workDir, 'release', 'blobs'),
        progress: (text) => context.progress(text),
        signal,
      })
      return {
        manifest: pulled.manifest,
        blobs: pulled.blobs,
        source: `${item.reference}@${pulled.tagDigest}`,
        version: item.version,
        packages: [],
      } satisfies ProducedImage
    },
  }
}

function isPublished(item: CatalogueFile | CatalogueImage, baseUrls: BaseUrls): boolean {
  return item.kind === 'image'
    ? !item.reference.startsWith(`${OWN_HOST}/`)
    : releaseAsset(item, 'amd64', baseUrls) !== undefined
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
  item: CatalogueFile,
  asset: ReleaseAsset,
  downloads: Downloads,
  context: SourceContext,
): Promise<ProducedFile> {
  const {arch, signal} = context
  const checksums = await downloads.text(asset.checksumUrl, CHECKSUM_MAX_BYTES, signal)
  const sha256 = parseChecksum(checksums, asset.fileName, shownUrl(asset.checksumUrl))
  const folder = join(context.workDir, 'release', arch, `${item.name}-${item.version}`)
  const archive = asset.take.kind === 'member'
  // Items out of one archive share its download, which is therefore named after the archive.
  const file = archive ? join(context.workDir, 'release', arch, asset.fileName) : join(folder, asset.fileName)
  const what = `${asset.fileName} ${item.version}`
  await downloads.file({what, url: asset.url, file, sha256}, (text) => context.progress(text), signal)
  const path = await takeOut(asset, file, join(folder, item.name), signal)
  return {path, source: shownUrl(asset.url), version: item.version, packages: []}
}

/** Path of the item's final bytes. */
async function takeOut(
  asset: ReleaseAsset,
  file: string,
  target: string,
  signal: AbortSignal,
): Promise<string> {
  switch (asset.take.kind) {
    case 'whole':
      return file
    case 'member':
      await extractMember(file, asset.take.path, target, signal)
      return target
    case 'members':
      await repackMembers(file, asset.take.names, `${target}.tar`, signal)
      return `${target}.tar`
  }
}
