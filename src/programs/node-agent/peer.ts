import {createHash} from 'node:crypto'
import type {IncomingMessage, ServerResponse} from 'node:http'
import {Readable} from 'node:stream'
import {pipeline} from 'node:stream/promises'
import {readAtMost, TooLargeError} from '../../base/bounded.ts'
import {askPeer, KEY_KNOWN_MS, peerAgent, PeerRefusedError, type PeerKey} from '../../operator/peer-tls.ts'
import type {BlobReadOptions, BlobStore, Digest} from '../../checkpoint/stores/blob-store.ts'
import {MAX_MANIFEST_BYTES} from '../../checkpoint/stores/content.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {copyInto, MAX_CHUNK_BYTES} from '../../checkpoint/sealed/chunk-buffers.ts'
import {pause} from '../../base/waiting.ts'

const PATH = /^\/v1\/(blobs|manifests)\/(sha256:[0-9a-f]{64})$/
/** What was asked for is there, and is not what its digest says. */
const CHANGED = 422
const ASK_AGAIN_MS = 250

/** Gives sealed pieces of this node's disk to other agents. False: the path is not of that kind. */
export async function servePeer(
  request: IncomingMessage,
  response: ServerResponse,
  {store: open, signal}: {readonly store: () => Promise<BlobStore>; readonly signal: AbortSignal},
): Promise<boolean> {
  const [path, kind, digest] = PATH.exec(request.url ?? '') ?? []
  if (path === undefined || digest === undefined) return false
  const store = await open()
  const wanted: Digest = `sha256:${digest.slice(7)}`
  if (kind === 'manifests') {
    const content = await store.getManifest(wanted, signal).catch(unlessTampered)
    response.writeHead(content === undefined ? 404 : content === 'changed' ? CHANGED : 200)
    response.end(content === 'changed' ? undefined : content)
  } else if (!(await store.has(wanted, signal))) response.writeHead(404).end()
  else if (!(await sentAtOnce(wanted, store, response, signal))) {
    response.writeHead(200, CONTENT)
    // Whoever asked finds out whether it was changed, and can tell what it is.
    await pipeline(Readable.from(store.get(wanted, signal, {unchecked: true})), response, {signal}).catch(
      () => response.destroy(),
    )
  }
  return true
}

const CONTENT = {'content-type': 'application/octet-stream'}
/** A piece of an archive, as it is stored. */
const PIECE_BYTES = MAX_CHUNK_BYTES + 4096
const MOST_FREE = 8
/** Memory that pieces are sent from, again and again: that of each piece would have to be collected as garbage. */
const free: Buffer[] = []

/** Sends a blob by one write. False: it is larger than a piece, or the store cannot read it into memory. */
async function sentAtOnce(
  digest: Digest,
  store: BlobStore,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<boolean> {
  if (store.getInto === undefined) return false
  const room = free.pop() ?? Buffer.allocUnsafeSlow(PIECE_BYTES)
  try {
    const sizeBytes = await store.getInto(digest, room, signal).catch(unlessTampered)
    if (sizeBytes === 'changed') return false
    response.writeHead(200, {...CONTENT, 'content-length': sizeBytes})
    await new Promise<void>((resolve) => {
      response.once('close', resolve)
      response.end(room.subarray(0, sizeBytes))
    })
    return true
  } finally {
    if (free.length < MOST_FREE) free.push(room)
  }
}

function unlessTampered(error: unknown): 'changed' {
  if (error instanceof CheckpointError && error.code === 'BLOB_TAMPERED') return 'changed'
  throw error
}

/** The disk of another node, read through its agent; nothing can be put there. */
export function peerStore(options: {
  readonly node: string
  readonly host: string
  readonly port: number
  readonly key: PeerKey
  /** How long one that refuses the key is asked again: an agent that just started may not have read it yet. Default: 15 s. */
  readonly refusedPatienceMs?: number
}): BlobStore {
  const {node, host, port, key, refusedPatienceMs = KEY_KNOWN_MS} = options
  const location = `the disk of node ${node}`
  const agent = peerAgent()
  const away = (signal: AbortSignal, cause: unknown): CheckpointError => {
    signal.throwIfAborted()
    if (cause instanceof PeerRefusedError)
      return new CheckpointError('STORE_REFUSED', `the node agent of ${node} uses another key than this one`)
    const words = `${location} cannot be reached through its node agent at ${host}:${port}`
    return new CheckpointError('STORE_UNREACHABLE', words, {cause})
  }
  const askPatiently = async (path: string, signal: AbortSignal): Promise<IncomingMessage> => {
    const endMs = performance.now() + refusedPatienceMs
    for (;;) {
      try {
        return await askPeer({host, port, path, key, agent, signal})
      } catch (error) {
        if (!(error instanceof PeerRefusedError) || performance.now() >= endMs) throw error
      }
      await pause(ASK_AGAIN_MS, signal)
    }
  }
  const ask = async (kind: 'blobs' | 'manifests', digest: Digest, signal: AbortSignal) => {
    const path = `/v1/${kind}/${digest}`
    const response = await askPatiently(path, signal).catch((cause: unknown) => {
      throw away(signal, cause)
    })
    const {statusCode} = response
    if (statusCode === 200) return response
    response.resume()
    if (statusCode === 404) return undefined
    if (statusCode === CHANGED) throw tampered(digest, location)
    throw new CheckpointError(
      'STORE_REFUSED',
      `the node agent for ${location} responded with HTTP status ${statusCode}`,
    )
  }
  async function* partsOf(response: IncomingMessage, signal: AbortSignal): AsyncGenerator<Buffer> {
    try {
      for await (const part of response) if (Buffer.isBuffer(part)) yield part
    } catch (cause) {
      throw away(signal, cause)
    }
  }
  async function* get(
    digest: Digest,
    signal: AbortSignal,
    {unchecked = false}: BlobReadOptions = {},
  ): AsyncGenerator<Uint8Array> {
    const response = await ask('blobs', digest, signal)
    if (response === undefined) throw absent(digest)
    if (unchecked) {
      yield* partsOf(response, signal)
      return
    }
    const hash = createHash('sha256')
    for await (const part of partsOf(response, signal)) {
      hash.update(part)
      yield part
    }
    if (`sha256:${hash.digest('hex')}` !== digest) throw tampered(digest, location)
  }
  const absent = (digest: Digest): CheckpointError =>
    new CheckpointError('BLOB_MISSING', `blob ${digest} not found on ${location}`)
  const readOnly = (): Promise<never> =>
    Promise.reject(new CheckpointError('STORE_REFUSED', `${location} cannot be written from another node`))
  return {
    location,
    has: async (digest, signal) => {
      const response = await ask('blobs', digest, signal)
      response?.destroy()
      return response !== undefined
    },
    put: readOnly,
    get,
    getInto: async (digest, into, signal) => {
      const response = await ask('blobs', digest, signal)
      if (response === undefined) throw absent(digest)
      return filled(Buffer.from(into.buffer, into.byteOffset, into.length), response).catch(
        (cause: unknown) => {
          throw cause instanceof RangeError ? tampered(digest, location) : away(signal, cause)
        },
      )
    },
    putManifest: readOnly,
    getManifest: async (digest, signal) => {
      const response = await ask('manifests', digest, signal)
      if (response === undefined) return undefined
      const parts = partsOf(response, signal)
      const content = await readAtMost(parts, digest, MAX_MANIFEST_BYTES).catch((error: unknown) => {
        throw error instanceof TooLargeError ? tampered(digest, location) : error
      })
      if (`sha256:${createHash('sha256').update(content).digest('hex')}` !== digest)
        throw tampered(digest, location)
      return content
    },
    listManifests: readOnly,
    removeManifest: readOnly,
    collect: readOnly,
  }
}

/** Reads a response into memory; gives its length. Throws RangeError when it does not fit, and what broke it. */
function filled(into: Buffer, response: IncomingMessage): Promise<number> {
  return new Promise((resolve, reject) => {
    let at = 0
    // A part is 16 KiB: a pause of an asynchronous loop after each would take as long as to receive it.
    response.on('data', (part: Buffer) => {
      try {
        copyInto(into, part, at)
        at += part.length
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)))
        response.destroy()
      }
    })
    response.once('end', () => resolve(at))
    response.once('error', reject)
    response.once('close', () => reject(new Error('the connection ended before the response')))
  })
}

const tampered = (digest: Digest, location: string): CheckpointError =>
  new CheckpointError('BLOB_TAMPERED', `the data read from ${location} does not have the digest ${digest}`)
