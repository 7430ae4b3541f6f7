import {Readable} from 'node:stream'
import {z} from 'zod'
import type {StoreSpec} from '../../api/resources.ts'
import {faultOf, jsonOf, RegistryFault} from '../../registry/fault.ts'
import {registrySession, type RegistryRequest, type RegistrySession} from '../../registry/session.ts'
import type {Digest} from './blob-store.ts'
import {digestFromHex, digestOf, gather, onePiece, PROBE, regrouped, tampered} from './content.ts'
import type {ConfirmWrite, Objects, ObjectWrite, StoredObject, StoreProblem} from './objects.ts'
import {absentWhere, isPassing, networkProblem, storeError, withoutSecrets} from './problems.ts'

type RegistrySpec = NonNullable<StoreSpec['registry']>

const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
/** Sealed pieces are smaller and go in one request; what is larger goes in chunks. */
const WHOLE_MAX_BYTES = 8 * 2 ** 20
const CHUNK_BYTES = 4 * 2 ** 20
const TAGS_PER_PAGE = 1000
const MAX_PAGES = 1000
/** Of the 128 letters of a tag the digest takes 64, the time 10, and two dots. */
const NAME_MAX_LENGTH = 52
const CANCEL_TIMEOUT_MS = 10_000
const SHOWN_MAX_LENGTH = 300

const tagsSchema = z.object({tags: z.array(z.string()).nullish()})

/** What a tag of ours says: a name for people, when it was put there, and of what. */
const TAG = /^([a-zA-Z0-9][a-zA-Z0-9._-]*)\.(\d{10})\.([0-9a-f]{64})$/

/**
 * A repository of an OCI registry. Manifests are tagged `<name>.<seconds>.<hex>`: a tag that moved on would leave the
 * manifest before it where nobody finds it, and a registry tells no times. What no manifest names, a registry collects by itself.
 */
export function registryObjects(
  spec: RegistrySpec,
  credentials: Readonly<Record<string, string>> | undefined,
): Objects {
  const {baseUrl, repository} = whereOf(spec)
  const session = registrySession({
    baseUrl,
    repository,
    actions: ['pull', 'push', 'delete'],
    credentials: () => (credentials === undefined ? undefined : loginOf(credentials)),
  })
  const call = async (request: RegistryRequest): Promise<Response> => {
    const answer = await session.send(request)
    if (!answer.ok) throw await faultOf(answer)
    return answer
  }
  const registry: Registry = {session, call, repository, location: spec.repository}
  return {
    location: spec.repository,
    stat: (key, signal) =>
      unlessAbsent(async () => {
        const {digest, url} = targetOf(key)
        const answer = await call({method: 'HEAD', url, headers: {accept: '*/*'}, signal})
        if ((answer.headers.get('docker-content-digest') ?? digest) !== digest) {
          throw tampered(digest, spec.repository)
        }
        // Young: nothing has to be done for it to stay.
        return {key, sizeBytes: Number(answer.headers.get('content-length') ?? 0), modifiedAtMs: Date.now()}
      }),
    write: (request) =>
      request.key.startsWith('manifests/') ? writeManifest(registry, request) : writeBlob(registry, request),
    refusesWrongChecksum: (signal) => refusesWrongDigest(registry, signal),
    read: (key, fromByte, signal) =>
      unlessAbsent(async () => {
        const {url} = targetOf(key)
        const range: Record<string, string> = fromByte === 0 ? {} : {range: `bytes=${fromByte}-`}
        const headers = {accept: key.startsWith('manifests/') ? MANIFEST_TYPE : '*/*', ...range}
        const answer = await session.send({method: 'GET', url, headers, signal})
        if (answer.status === 416) return Readable.from([])
        if (!answer.ok) throw await faultOf(answer)
        if (answer.body === null) return Readable.from([])
        return answer.status === 206 ? answer.body : without(answer.body, fromByte)
      }),
    list: (prefix, signal) => list(registry, prefix, signal),
    remove: async (key, signal) => {
      await unlessAbsent(() => call({method: 'DELETE', url: targetOf(key).url, signal}))
    },
    touch: () => Promise.resolve(),
    removePartial: () => Promise.resolve(),
    problemOf: (error) =>
      error instanceof RegistryFault ? problemOfFault(error, credentials) : networkProblem(error),
  }
}

function loginOf({username, password}: Readonly<Record<string, string>>): {
  username: string
  password: string
} {
  if (username !== undefined && password !== undefined) return {username, password}
  throw new RegistryFault(401, 'the Secret of the store must contain username and password')
}

/** A registry may repeat in its response what it was sent. */
const problemOfFault = (
  {status, message, codes}: RegistryFault,
  credentials: Readonly<Record<string, string>> | undefined,
): StoreProblem => ({
  // What has another digest was changed on the way.
  kind: isPassing(status) || codes.includes('DIGEST_INVALID') ? 'passing' : 'refused',
  words: withoutSecrets(message, credentials).slice(0, SHOWN_MAX_LENGTH),
})

interface Registry {
  readonly session: RegistrySession
  /** Throws RegistryFault for what is no success. */
  readonly call: (request: RegistryRequest) => Promise<Response>
  readonly repository: string
  readonly location: string
}

function whereOf({repository, insecure}: RegistrySpec): {baseUrl: string; repository: string} {
  const [, host = '', path = ''] =
    /^([a-zA-Z0-9.-]+(?::\d+)?)\/([a-z0-9]+(?:[._/-]+[a-z0-9]+)*)$/.exec(repository) ?? []
  if (path === '') {
    throw storeError(repository, {
      kind: 'absent',
      words: 'expected a repository such as registry.example.com/team/name',
    })
  }
  // The one registry whose name is not where it is.
  const named = host === 'docker.io' ? 'registry-1.docker.io' : host
  return {baseUrl: `${insecure === true ? 'http' : 'https'}://${named}`, repository: path}
}

/** `blobs/sha256/<hex>`, `manifests/<hex>/<name>`. */
function targetOf(key: string): {digest: Digest; url: string} {
  const [kind = '', first = '', second = ''] = key.split('/')
  const digest: Digest = `sha256:${kind === 'blobs' ? second : first}`
  return {digest, url: `${kind}/${digest}`}
}

async function writeBlob(registry: Registry, request: ObjectWrite): Promise<ConfirmWrite> {
  await upload(registry, request)
  const {digest, sizeBytes} = request
  return async (signal) => {
    const url = `blobs/${digest}`
    const headers = {accept: '*/*'}
    const found = await unlessAbsent(() => registry.call({method: 'HEAD', url, headers, signal}))
    return (
      found?.headers.get('docker-content-digest') === digest &&
      Number(found.headers.get('content-length') ?? -1) === sizeBytes
    )
  }
}

type Upload = Pick<ObjectWrite, 'digest' | 'sizeBytes' | 'content' | 'signal'>

async function upload({call}: Registry, {digest, sizeBytes, content, signal}: Upload): Promise<void> {
  const started = await call({method: 'POST', url: 'blobs/uploads/', signal})
  await started.body?.cancel()
  const upload = {url: locationOf(started)}
  try {
    const whole = sizeBytes <= WHOLE_MAX_BYTES
    const last = whole ? await gather(content) : await writeChunks(call, upload, content, signal)
    const end = new URL(upload.url)
    end.searchParams.set('digest', digest)
    const headers = {'content-type': 'application/octet-stream'}
    const done = await call({method: 'PUT', url: end.href, headers, body: last, signal})
    await done.body?.cancel()
  } catch (error) {
    // Some forget an upload by themselves only after days.
    const cancelled = call({
      method: 'DELETE',
      url: upload.url,
      signal: AbortSignal.timeout(CANCEL_TIMEOUT_MS),
    })
    await cancelled.catch(() => undefined)
    throw error
  }
}

/** Whether it hashes what it is sent, as every registry should. */
async function refusesWrongDigest(registry: Registry, signal: AbortSignal): Promise<boolean> {
  const {wrongDigest: digest, content} = PROBE
  try {
    await upload(registry, {digest, sizeBytes: content.length, content: onePiece(content), signal})
  } catch (error) {
    if (error instanceof RegistryFault && error.status === 400) return true
    throw error
  }
  await registry.call({method: 'DELETE', url: `blobs/${digest}`, signal})
  return false
}

/** Sends all but the last, empty piece, with which the upload is to be ended. */
async function writeChunks(
  call: Registry['call'],
  upload: {url: string},
  content: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  let bytes = 0
  for await (const body of regrouped(content, CHUNK_BYTES)) {
    if (body.length === 0) break
    const headers = {
      'content-type': 'application/octet-stream',
      'content-range': `${bytes}-${bytes + body.length - 1}`,
    }
    const answer = await call({method: 'PATCH', url: upload.url, headers, body, signal})
    await answer.body?.cancel()
    bytes += body.length
    upload.url = locationOf(answer)
  }
  return Buffer.alloc(0)
}

function locationOf(answer: Response): string {
  const location = answer.headers.get('location')
  if (location !== null) return new URL(location, answer.url).href
  throw new RegistryFault(answer.status, 'its response to an upload has no Location header')
}

async function writeManifest(registry: Registry, {key, content, signal}: ObjectWrite): Promise<undefined> {
  const body = await gather(content)
  const digest = digestOf(body)
  const name = (key.split('/')[2] ?? '').slice(0, NAME_MAX_LENGTH)
  const tag = `${name}.${Math.floor(Date.now() / 1000)}.${digest.slice('sha256:'.length)}`
  const headers = {'content-type': MANIFEST_TYPE}
  const answer = await registry.call({method: 'PUT', url: `manifests/${tag}`, headers, body, signal})
  await answer.body?.cancel()
  const told = answer.headers.get('docker-content-digest')
  if (told !== null && told !== digest) throw tampered(digest, registry.location)
}

async function* list(registry: Registry, prefix: string, signal: AbortSignal): AsyncGenerator<StoredObject> {
  const [kind, hex = ''] = prefix.split('/')
  // A registry tells its manifests only.
  if (kind !== 'manifests') return
  if (hex !== '') {
    const url = `manifests/sha256:${hex}`
    const found = await unlessAbsent(() =>
      registry.call({method: 'HEAD', url, headers: {accept: MANIFEST_TYPE}, signal}),
    )
    if (found !== undefined) yield {key: `${prefix}by-digest`, sizeBytes: 0, modifiedAtMs: Date.now()}
    return
  }
  const seen = new Set<string>()
  for await (const tag of tags(registry, signal)) {
    const [, name = '', seconds = '', digest = ''] = TAG.exec(tag) ?? []
    // Somebody else's tag; or the same was named twice.
    if (digestFromHex(digest) === undefined || seen.has(`${digest}/${name}`)) continue
    seen.add(`${digest}/${name}`)
    yield {key: `manifests/${digest}/${name}`, sizeBytes: 0, modifiedAtMs: Number(seconds) * 1000}
  }
}

async function* tags({call, repository}: Registry, signal: AbortSignal): AsyncGenerator<string> {
  let pages = 0
  let url: string | undefined = `tags/list?n=${TAGS_PER_PAGE}`
  while (url !== undefined) {
    const page: string = url
    const answer = await unlessAbsent(() => call({method: 'GET', url: page, signal}))
    if (answer === undefined) return
    const {tags: found} = await jsonOf(answer, tagsSchema, `the tag list of ${repository}`)
    yield* found ?? []
    const [, next] = /<([^>]+)>;\s*rel="?next/.exec(answer.headers.get('link') ?? '') ?? []
    url = next === undefined ? undefined : new URL(next, answer.url).href
    if (++pages >= MAX_PAGES && url !== undefined)
      throw new RegistryFault(answer.status, `the tag list of ${repository} has more than ${MAX_PAGES} pages`)
  }
}

/** For a registry that gives all where a part was asked for. */
async function* without(content: AsyncIterable<Uint8Array>, bytes: number): AsyncGenerator<Uint8Array> {
  let left = bytes
  for await (const piece of content) {
    const cut = Math.min(left, piece.length)
    left -= cut
    if (cut < piece.length) yield piece.subarray(cut)
  }
}

const unlessAbsent = absentWhere((error) => error instanceof RegistryFault && error.status === 404)
