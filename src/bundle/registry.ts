import {createHash} from 'node:crypto'
import {mkdir, readFile, rename, writeFile} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {z} from 'zod'
import {BundleError} from './errors.ts'
import type {Downloads, Progress} from './download.ts'
import {parseChallenge, parseReference, type ImageReference} from './registry-reference.ts'
import {
  expectStatus,
  openUrl,
  persist,
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
const tokenSchema = z.union([
  z.object({token: z.string().min(1)}).transform(({token}) => token),
  z.object({access_token: z.string().min(1)}).transform((answer) => answer.access_token),
])

type Descriptor = z.output<typeof descriptorSchema>

export interface PulledImage {
  /** Byte for byte as published. */
  readonly manifest: ProducedBlob
  readonly blobs: readonly ProducedBlob[]
  /** Of what the tag names: the index, or the manifest where there is no index. */
  readonly tagDigest: string
}

export interface Registry {
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
export function createRegistry(
  baseUrl: (host: string) => string,
  downloads: Downloads,
  options: HttpOptions,
): Registry {
  const open = anonymousOpener(baseUrl)
  return {
    async pull({reference, arch, dir, progress, signal}) {
      const image = parseReference(reference)
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
        const opened = (headers: Headers, tried: AbortSignal) => open(image, url, headers, tried)
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

type Opener = (image: ImageReference, url: string, headers: Headers, signal: AbortSignal) => Promise<Response>

/** GET that answers a Bearer challenge with an anonymous token, kept per repository until it is refused. */
function anonymousOpener(baseUrl: (host: string) => string): Opener {
  const tokens = new Map<string, string>()
  return async (image, url, headers, signal) => {
    const name = `${image.host}/${image.repository}`
    const send = () => {
      const token = tokens.get(name)
      return openUrl(
        url,
        token === undefined ? headers : {...headers, authorization: `Bearer ${token}`},
        signal,
      )
    }
    const first = await send()
    if (first.status !== 401) return first
    await first.body?.cancel()
    const token = await fetchToken(image, baseUrl(image.host), first.headers.get('www-authenticate'), signal)
    tokens.set(name, token)
    return send()
  }
}

async function fetchToken(
  image: ImageReference,
  registryUrl: string,
  header: string | null,
  signal: AbortSignal,
): Promise<string> {
  const challenge = parseChallenge(header)
  const name = `${image.host}/${image.repository}`
  if (challenge === undefined || !URL.canParse(challenge.realm)) {
    throw new BundleError('BUILD_FAILED', `${name} cannot be read without credentials`)
  }
  const url = new URL(challenge.realm)
  if (registryUrl.startsWith('https:') && url.protocol !== 'https:') {
    throw new BundleError(
      'BUILD_FAILED',
      `${name} uses a token server without TLS: ${shownUrl(challenge.realm)}`,
    )
  }
  if (challenge.service !== undefined) url.searchParams.set('service', challenge.service)
  url.searchParams.set('scope', challenge.scope ?? `repository:${image.repository}:pull`)
  const response = await openUrl(url.href, {}, signal)
  await expectStatus(url.href, response)
  const answer = await readSmall(url.href, response, MANIFEST_MAX_BYTES, signal)
  return parseJson(tokenSchema, {bytes: answer}, `the token of ${name}`)
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
  return persist(
    shownUrl(url),
    async (tried) => {
      const response = await open(image, url, {accept}, tried)
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
  const temporary = `${path}.${process.pid}.tmp`
  await writeFile(temporary, document.bytes)
  await rename(temporary, path)
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
