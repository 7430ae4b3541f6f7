import {Registry} from 'prom-client'
import {createHash, randomBytes} from 'node:crypto'
import {createConnection, createServer} from 'node:net'
import {connect} from 'node:tls'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {answeringKey, askPeer, peerKeyOf, type AnsweringKey} from '../../../../src/operator/peer-tls.ts'
import type {BlobStore, Digest} from '../../../../src/checkpoint/stores/blob-store.ts'
import {CheckpointError} from '../../../../src/checkpoint/errors.ts'
import {serveHttp, type HttpServer} from '../../../../src/operator/http-server.ts'
import {directoryObjects} from '../../../../src/checkpoint/stores/directory.ts'
import {objectStore} from '../../../../src/checkpoint/stores/object-store.ts'
import {peerStore, servePeer} from '../../../../src/programs/node-agent/peer.ts'
import {manifestOf} from '../../../support/blob-store-contract.ts'
import {memoryBlobs, type MemoryBlobs} from '../../../support/memory-blobs.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const KEY = Buffer.alloc(32, 7).toString('base64')
const OTHER = Buffer.alloc(32, 8).toString('base64')
const {signal} = new AbortController()
const addressSchema = z.looseObject({port: z.int()})

const digestOf = (content: Uint8Array): Digest =>
  `sha256:${createHash('sha256').update(content).digest('hex')}`

interface Peer {
  readonly there: MemoryBlobs
  readonly server: HttpServer
  /** Answers from another store from now on. */
  readonly serve: (store: BlobStore) => void
  readonly port: number
  readonly as: (key: string) => BlobStore
  /** How often the key was read, and what it is. */
  readonly secret: {key: string; reads: number}
  /** How many connections were made. */
  readonly made: {connections: number}
  readonly clock: {nowMs: number}
}

async function withPeer(use: (at: Peer) => Promise<void>, refusedPatienceMs = 0): Promise<void> {
  const there = memoryBlobs()
  const served: {store: BlobStore} = {store: there}
  const secret = {key: KEY, reads: 0}
  const clock = {nowMs: 0}
  const key = answeringKey(
    () => {
      secret.reads += 1
      return Promise.resolve(secret.key)
    },
    () => clock.nowMs,
  )
  await key.settled()
  const made = {connections: 0}
  const counted: AnsweringKey = {
    ...key,
    of: (identity) => {
      made.connections += 1
      return key.of(identity)
    },
  }
  const server = await serveHttp(0, {
    registry: new Registry(),
    health: {problem: () => undefined, unready: () => undefined},
    peers: {
      key: counted,
      answer: (request, response) =>
        servePeer(request, response, {store: () => Promise.resolve(served.store), signal}),
    },
    log: () => undefined,
  })
  const {port} = server
  const as = (text: string): BlobStore =>
    peerStore({node: 'worker-2', host: '127.0.0.1', port, key: peerKeyOf(text), refusedPatienceMs})
  try {
    const serve = (store: BlobStore): void => void (served.store = store)
    await use({there, server, serve, port, as, secret, made, clock})
  } finally {
    server.close()
  }
}

async function read(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts)
}

async function put(store: BlobStore, content: Buffer): Promise<Digest> {
  const digest = digestOf(content)
  await store.put({digest, sizeBytes: content.length, content: () => pieces(content), signal})
  return digest
}

async function* pieces(content: Buffer): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(content)
}

test('what lies on another node is read through its agent', async () => {
  await withPeer(async ({there, as}) => {
    const content = Buffer.alloc(300_000, 'x')
    const digest = await put(there, content)
    const store = as(KEY)
    expect(await store.has(digest, signal)).toBe(true)
    expect(await read(store.get(digest, signal))).toEqual(content)
    const absent = digestOf(Buffer.from('absent'))
    expect(await store.has(absent, signal)).toBe(false)
    expect(await store.getManifest(absent, signal)).toBeUndefined()
    await expect(read(store.get(absent, signal))).rejects.toMatchObject({code: 'BLOB_MISSING'})
    await expect(put(store, content)).rejects.toMatchObject({code: 'STORE_REFUSED'})
  })
})

test('one connection after another is not made for each piece', async () => {
  await withPeer(async ({there, as, made}) => {
    const store = as(KEY)
    for (let piece = 0; piece < 10; piece += 1) {
      const content = Buffer.alloc(300_000, String(piece))
      expect(await read(store.get(await put(there, content), signal))).toEqual(content)
    }
    expect(made.connections).toBe(1)
  })
})

test('a piece is read from there into memory that is given', async () => {
  await withTempFolder(async (folder) => {
    await withPeer(async ({as, serve}) => {
      const there = objectStore(directoryObjects(folder))
      serve(there)
      const store = as(KEY)
      const small = randomBytes(3_000_000)
      // Larger than a piece of an archive, as the list of them may be.
      const large = randomBytes(9_000_000)
      const room = Buffer.from(new SharedArrayBuffer(large.length))
      const pieces = await Promise.all([small, large].map((content) => put(there, content)))
      for (const [index, content] of [small, large, small].entries()) {
        const digest = pieces[index % 2] ?? digestOf(content)
        const bytes = await store.getInto?.(digest, room, signal)
        expect(room.subarray(0, bytes).equals(content)).toBe(true)
        const tooSmall = store.getInto?.(digest, Buffer.alloc(content.length - 1), signal)
        await expect(tooSmall).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
      }
      const absent = store.getInto?.(digestOf(Buffer.from('absent')), room, signal)
      await expect(absent).rejects.toMatchObject({code: 'BLOB_MISSING'})
      const [digest = digestOf(small)] = pieces
      const stopped = store.getInto?.(digest, room, AbortSignal.abort(new Error('enough')))
      await expect(stopped).rejects.toThrow('enough')
    })
  })
})

test('what was changed there is told as that, a piece and a manifest', async () => {
  await withPeer(async ({there, as, serve}) => {
    const digest = await put(there, Buffer.alloc(300_000, 'x'))
    there.tamper(digest)
    await expect(read(as(KEY).get(digest, signal))).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
    const blob = await put(there, Buffer.from('sealed'))
    const manifest = await there.putManifest(manifestOf(blob), 'web', signal)
    expect(await as(KEY).getManifest(manifest, signal)).toEqual(Buffer.from(manifestOf(blob)))
    serve({
      ...there,
      getManifest: () =>
        Promise.reject(new CheckpointError('BLOB_TAMPERED', 'what lies there is another one')),
    })
    await expect(as(KEY).getManifest(manifest, signal)).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
  })
})

test('a connection that breaks in the middle is told as a node that is away', async () => {
  await withPeer(async ({there, server, as}) => {
    const digest = await put(there, Buffer.alloc(16_000_000, 'x'))
    const parts = as(KEY).get(digest, signal)[Symbol.asyncIterator]()
    await parts.next()
    server.close()
    const rest = async (): Promise<void> => {
      while ((await parts.next()).done !== true);
    }
    await expect(rest()).rejects.toMatchObject({code: 'STORE_UNREACHABLE'})
  })
})

test('nobody without the key of the agents is given anything, nor makes it be read', async () => {
  await withPeer(async ({there, port, as, secret}) => {
    const digest = await put(there, Buffer.from('sealed'))
    const before = secret.reads
    for (let time = 0; time < 60; time++)
      await expect(as(OTHER).has(digest, signal)).rejects.toMatchObject({code: 'STORE_REFUSED'})
    // Neither without TLS, nor with an ordinary one.
    expect((await fetch(`http://127.0.0.1:${port}/v1/blobs/${digest}`)).status).toBe(404)
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200)
    const ordinary = connect({port, host: '127.0.0.1', rejectUnauthorized: false})
    await expect(
      new Promise((resolve, reject) => ordinary.once('secureConnect', resolve).once('error', reject)),
    ).rejects.toThrow()
    // Who knows which key is meant, and not the key.
    const known = {identity: peerKeyOf(KEY).identity, psk: peerKeyOf(OTHER).psk}
    await expect(
      askPeer({host: '127.0.0.1', port, path: `/v1/blobs/${digest}`, key: known, signal}),
    ).rejects.toThrow()
    expect(secret.reads).toBe(before)
    expect(await as(KEY).has(digest, signal)).toBe(true)
  })
})

test('a key that was changed is taken up when somebody asks with it', async () => {
  await withPeer(async ({there, as, secret, clock}) => {
    const digest = await put(there, Buffer.from('sealed'))
    secret.key = OTHER
    await expect(as(OTHER).has(digest, signal)).rejects.toMatchObject({code: 'STORE_REFUSED'})
    clock.nowMs += 10_000
    await expect
      .poll(() =>
        as(OTHER)
          .has(digest, signal)
          .catch(() => false),
      )
      .toBe(true)
    await expect(as(KEY).has(digest, signal)).rejects.toMatchObject({code: 'STORE_REFUSED'})
  })
})

test('what goes over the network cannot be read there', async () => {
  await withPeer(async ({there, port}) => {
    const words = 'a secret in clear, in a store without encryption'
    const digest = await put(there, Buffer.from(words))
    const seen: Buffer[] = []
    const relay = createServer((near) => {
      const far = createConnection(port, '127.0.0.1')
      near.pipe(far).pipe(near)
      for (const side of [near, far])
        side.on('data', (part) => void seen.push(part)).on('error', () => side.destroy())
    })
    await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve))
    const through = addressSchema.parse(relay.address()).port
    const store = peerStore({node: 'worker-2', host: '127.0.0.1', port: through, key: peerKeyOf(KEY)})
    expect((await read(store.get(digest, signal))).toString()).toBe(words)
    relay.close()
    const all = Buffer.concat(seen)
    expect(all.length).toBeGreaterThan(words.length)
    expect(all.includes('secret')).toBe(false)
    expect(all.includes(digest)).toBe(false)
  })
})

test('an agent that is not there is told by its node', async () => {
  const store = peerStore({node: 'worker-9', host: '127.0.0.1', port: 1, key: peerKeyOf(KEY)})
  await expect(store.has(digestOf(Buffer.from('x')), signal)).rejects.toMatchObject({
    code: 'STORE_UNREACHABLE',
  })
  await expect(store.has(digestOf(Buffer.from('x')), signal)).rejects.toThrow('worker-9')
})

test('an agent that has not read the key yet is asked again until it has', async () => {
  const reading = Promise.withResolvers<string>()
  const server = await serveHttp(0, {
    registry: new Registry(),
    health: {problem: () => undefined, unready: () => undefined},
    peers: {
      key: answeringKey(() => reading.promise, Date.now),
      answer: (_, response) => {
        response.writeHead(404).end()
        return Promise.resolve(true)
      },
    },
    log: () => undefined,
  })
  try {
    const store = peerStore({node: 'worker-2', host: '127.0.0.1', port: server.port, key: peerKeyOf(KEY)})
    const asked = store.has(digestOf(Buffer.from('absent')), signal)
    await expect(
      peerStore({
        node: 'worker-2',
        host: '127.0.0.1',
        port: server.port,
        key: peerKeyOf(KEY),
        refusedPatienceMs: 0,
      }).has(digestOf(Buffer.from('absent')), signal),
    ).rejects.toMatchObject({code: 'STORE_REFUSED'})
    reading.resolve(KEY)
    expect(await asked).toBe(false)
  } finally {
    server.close()
  }
})
