import {createHash} from 'node:crypto'
import {mkdir, readFile} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {z} from 'zod'
import {writeDurably} from '../base/durable-files.ts'
import {parseReference, type ImageReference} from '../registry/reference.ts'
import {RegistryFault} from '../registry/fault.ts'
import {registrySession, type RegistrySession} from '../registry/session.ts'
import type {Downloads, Progress} from './download.ts'
import {BundleError} from './errors.ts'
import {
  expectStatus,
  openUrl,
  withRetries,
  readSmall,
  shownUrl,
  type Headers,
  type HttpOptions,
} from './release-http.ts'
import type {ProducedBlob} from './source.ts'
import type {Arch} from './types.ts'

const MANIFEST_MAX_BYTES = 4 * 1024 * 1024

const INDEX_TYPES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
]
const MANIFEST_TYPES = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
]

const digestSchema = z.string().regex(/^sha256:[0-9a-f]{64}$/)
const descriptorSchema = z.object({mediaType: z.string(), digest: digestSchema, size: z.int().min(0)})
const indexSchema = z.object({
  manifests: z.array(
    descriptorSchema.extend({platform: z.object({os: z.string(), architecture: z.string()}).optional()}),
  ),
})
const manifestSchema = z.object({config: descriptorSchema, layers: z.array(descriptorSchema)})
const configSchema = z.object({os: z.string(), architecture: z.string()})

type Descriptor = z.output<typeof descriptorSchema>

export interface PulledImage {
  /** Byte for byte as published. */
  readonly manifest: ProducedBlob
  readonly blobs: readonly ProducedBlob[]
  /** Of what the tag names: the index, or the manifest where there is no index. */
  readonly tagDigest: string
}

export interface PublishedImages {
  /** Fetches one architecture of an image into `<dir>/sha256/<hex>`; every blob is checked against its digest. */
  pull(request: {
    readonly reference: string
    readonly arch: Arch
    readonly dir: string
    readonly progress: Progress
    readonly signal: AbortSignal
  }): Promise<PulledImage>
}

interface Document {
  readonly bytes: Uint8Array
  readonly digest: string
  readonly mediaType: string
}

/** Reads images without an account, over the OCI distribution API. `baseUrl` gives `https://<host>` for a registry's host. */
export function publishedImages(
  baseUrl: (host: string) => string,
  downloads: Downloads,
  options: HttpOptions,
): PublishedImages {
  const open = anonymousOpener(baseUrl)
  return {
    async pull({reference, arch, dir, progress, signal}) {
      const image = imageOf(reference)
      const fetchManifest = (selector: string) =>
        readManifest(image, selector, {open, baseUrl, options, signal})
      const tagged = await fetchManifest(image.selector)
      const document = INDEX_TYPES.includes(tagged.mediaType)
        ? await fetchManifest(platformManifest(reference, tagged, arch).digest)
        : tagged
      const manifest = parseJson(manifestSchema, document, reference)
      const blobs: ProducedBlob[] = []
      for (const [index, blob] of [manifest.config, ...manifest.layers].entries()) {
        const url = `${baseUrl(image.host)}/v2/${image.repository}/blobs/${blob.digest}`
        const opened = (headers: Headers, tried: AbortSignal) =>
          open(image, `blobs/${blob.digest}`, headers, tried)
        const what =
          index === 0
            ? `${reference} configuration`
            : `${reference} layer ${index} of ${manifest.layers.length}`
        const path = blobPath(dir, blob.digest)
        const wanted = {
          what,
          url,
          file: path,
          sha256: blob.digest.slice('sha256:'.length),
          sizeBytes: blob.size,
        }
        await downloads.file({...wanted, open: opened}, progress, signal)
        blobs.push(producedBlob(path, blob))
        // Where there is an index its word counts: some published configurations name another architecture.
        if (index === 0 && document === tagged) await assertPlatform(reference, path, arch)
      }
      const path = await keepManifest(dir, document)
      return {
        manifest: producedBlob(path, {...document, size: document.bytes.length}),
        blobs,
        tagDigest: tagged.digest,
      }
    },
  }
}

type Opener = (
  image: ImageReference,
  path: string,
  headers: Headers,
  signal: AbortSignal,
) => Promise<Response>

/** GET below the URL of a repository; a token is kept per repository until it is refused. */
function anonymousOpener(baseUrl: (host: string) => string): Opener {
  const sessions = new Map<string, RegistrySession>()
  return async ({host, repository}, path, headers, signal) => {
    const name = `${host}/${repository}`
    const session =
      sessions.get(name) ??
      registrySession({
        baseUrl: baseUrl(host),
        repository,
        transport: ({href}, request) => openUrl(href, request.headers, request.signal),
      })
    sessions.set(name, session)
    try {
      return await session.send({method: 'GET', url: path, headers, signal})
    } catch (error) {
      if (!(error instanceof RegistryFault)) throw error
      throw new BundleError('BUILD_FAILED', `${name} cannot be read: ${error.message}`)
    }
  }
}

async function readManifest(
  image: ImageReference,
  selector: string,
  {
    open,
    baseUrl,
    options,
    signal,
  }: {open: Opener; baseUrl: (host: string) => string; options: HttpOptions; signal: AbortSignal},
): Promise<Document> {
  const url = `${baseUrl(image.host)}/v2/${image.repository}/manifests/${selector}`
  const accept = [...INDEX_TYPES, ...MANIFEST_TYPES].join(', ')
  return withRetries(
    shownUrl(url),
    async (tried) => {
      const response = await open(image, `manifests/${selector}`, {accept}, tried)
      await expectStatus(url, response)
      const bytes = await readSmall(url, response, MANIFEST_MAX_BYTES, tried)
      const found = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
      const published = selector.startsWith('sha256:')
        ? selector
        : response.headers.get('docker-content-digest')
      if (found !== published) {
        throw new BundleError(
          'BUNDLE_DIGEST_WRONG',
          `manifest ${shownUrl(url)} has ${found}, expected ${published ?? 'no digest'}`,
        )
      }
      const mediaType = response.headers.get('content-type')?.split(';')[0]?.trim() ?? ''
      if (![...INDEX_TYPES, ...MANIFEST_TYPES].includes(mediaType)) {
        throw new BundleError('BUILD_FAILED', `manifest ${shownUrl(url)} is of unknown type "${mediaType}"`)
      }
      return {bytes, digest: found, mediaType}
    },
    options,
    signal,
  )
}

function imageOf(reference: string): ImageReference {
  const image = parseReference(reference)
  if (image !== undefined) return image
  throw new BundleError('BUILD_FAILED', `image reference "${reference}" is not host/repository:tag`)
}

function platformManifest(reference: string, index: Document, arch: Arch): Descriptor {
  const {manifests} = parseJson(indexSchema, index, reference)
  const found = manifests.find(({platform}) => platform?.os === 'linux' && platform.architecture === arch)
  if (found !== undefined) return found
  // Attestations stand in an index as platform unknown/unknown.
  const platforms = manifests.flatMap(({platform}) =>
    platform === undefined || platform.os === 'unknown' ? [] : [`${platform.os}/${platform.architecture}`],
  )
  throw new BundleError(
    'BUILD_FAILED',
    `${reference} is not published for linux/${arch}, only for ${[...new Set(platforms)].join(', ') || 'nothing'}`,
  )
}

async function assertPlatform(reference: string, configPath: string, arch: Arch): Promise<void> {
  const config = parseJson(configSchema, {bytes: await readFile(configPath)}, reference)
  if (config.os === 'linux' && config.architecture === arch) return
  throw new BundleError(
    'BUILD_FAILED',
    `${reference} is for ${config.os}/${config.architecture}, linux/${arch} was requested`,
  )
}

async function keepManifest(dir: string, document: Document): Promise<string> {
  const path = blobPath(dir, document.digest)
  await mkdir(dirname(path), {recursive: true})
  await writeDurably(path, document.bytes, {mode: 0o644})
  return path
}

function blobPath(dir: string, digest: string): string {
  return join(dir, digest.replace(':', '/'))
}

function producedBlob(path: string, {digest, size, mediaType}: Descriptor): ProducedBlob {
  return {path, digest, sizeBytes: size, mediaType}
}

function parseJson<T>(schema: z.ZodType<T>, {bytes}: {bytes: Uint8Array}, what: string): T {
  let content: unknown
  try {
    content = JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch (error) {
    throw new BundleError('BUILD_FAILED', `${what}: the response of the registry is not JSON`, {cause: error})
  }
  const parsed = schema.safeParse(content)
  if (parsed.success) return parsed.data
  throw new BundleError(
    'BUILD_FAILED',
    `${what}: the response of the registry has an unexpected format: ${parsed.error.issues[0]?.message ?? ''}`,
  )
}
