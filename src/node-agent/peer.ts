import {createHash} from 'node:crypto'
import type {IncomingMessage, ServerResponse} from 'node:http'
import {Readable} from 'node:stream'
import {pipeline} from 'node:stream/promises'
import {isPeerProof, PEER_PROOF_HEADER, peerProof} from '../checkpoint/peer-proof.ts'
import type {BlobStore, Digest} from '../checkpoint/stores/blob-store.ts'
import {CheckpointError} from '../errors.ts'

const PATH = /^\/v1\/(blobs|manifests)\/(sha256:[0-9a-f]{64})$/

/** Gives sealed pieces of this node's disk to other agents. False: the path is not of that kind. */
export async function servePeer(
  request: IncomingMessage,
  response: ServerResponse,
  options: {
    readonly store: () => Promise<BlobStore>
    readonly key: () => Promise<string>
    readonly now: () => number
    readonly signal: AbortSignal
  },
): Promise<boolean> {
  const [path, kind, digest] = PATH.exec(request.url ?? '') ?? []
  if (path === undefined || digest === undefined) return false
  const {signal} = options
  const proof = request.headers[PEER_PROOF_HEADER]
  if (!isPeerProof(proof, path, await options.key(), options.now())) {
    response.writeHead(403).end()
    return true
  }
  const store = await options.store()
  const wanted: Digest = `sha256:${digest.slice(7)}`
  const content = kind === 'manifests' ? await store.getManifest(wanted, signal) : undefined
  if (kind === 'manifests' ? content === undefined : !(await store.has(wanted, signal))) {
    response.writeHead(404).end()
    return true
  }
  response.writeHead(200, {'content-type': 'application/octet-stream'})
  if (content !== undefined) response.end(content)
  // A blob that is found to be tampered with breaks the connection: what was sent does not count.
  else
    await pipeline(Readable.from(store.get(wanted, signal)), response, {signal}).catch(() =>
      response.destroy(),
    )
  return true
}

/** The disk of another node, read through its agent; nothing can be put there. */
export function peerStore(options: {
  readonly node: string
  /** `http://10.244.1.7:8080`. */
  readonly url: string
  readonly key: string
  readonly now: () => number
}): BlobStore {
  const {node, url, key, now} = options
  const place = `the disk of node ${node}`
  const ask = async (path: string, signal: AbortSignal): Promise<Response> => {
    const headers = {[PEER_PROOF_HEADER]: peerProof(path, key, now())}
    const response = await fetch(`${url}${path}`, {headers, signal}).catch((cause: unknown) => {
      signal.throwIfAborted()
      throw new CheckpointError(
        'STORE_UNREACHABLE',
        `${place} cannot be reached through its agent at ${url}`,
        {cause},
      )
    })
    if (response.status === 200 || response.status === 404) return response
    throw new CheckpointError('STORE_REFUSED', `the agent of ${place} answered ${response.status}`)
  }
  const readOnly = (): Promise<never> =>
    Promise.reject(new CheckpointError('STORE_REFUSED', `${place} cannot be written from another node`))
  return {
    place,
    has: async (digest, signal) => {
      const response = await ask(`/v1/blobs/${digest}`, signal)
      await response.body?.cancel()
      return response.status === 200
    },
    put: readOnly,
    get: (digest, signal) => checked(digest, () => ask(`/v1/blobs/${digest}`, signal), place),
    putManifest: readOnly,
    getManifest: async (digest, signal) => {
      const response = await ask(`/v1/manifests/${digest}`, signal)
      if (response.status === 404) return undefined
      const bytes = new Uint8Array(await response.arrayBuffer())
      if (digestOf(bytes) !== digest) throw tampered(digest, place)
      return bytes
    },
    listManifests: readOnly,
    removeManifest: readOnly,
    collect: readOnly,
  }
}

async function* checked(
  digest: Digest,
  ask: () => Promise<Response>,
  place: string,
): AsyncGenerator<Uint8Array> {
  const response = await ask()
  if (response.status === 404 || response.body === null)
    throw new CheckpointError('BLOB_MISSING', `blob ${digest} is not on ${place}`)
  const hash = createHash('sha256')
  const body: AsyncIterable<Uint8Array> = response.body
  for await (const part of body) {
    hash.update(part)
    yield part
  }
  if (`sha256:${hash.digest('hex')}` !== digest) throw tampered(digest, place)
}

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

const tampered = (digest: Digest, place: string): CheckpointError =>
  new CheckpointError('BLOB_TAMPERED', `what ${place} gave is not ${digest}`)
