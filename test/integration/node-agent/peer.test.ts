import {createHash} from 'node:crypto'
import {createServer} from 'node:http'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {peerProof} from '../../../src/checkpoint/peer-proof.ts'
import type {BlobStore, Digest} from '../../../src/checkpoint/stores/blob-store.ts'
import {peerStore, servePeer} from '../../../src/node-agent/peer.ts'
import {memoryBlobs, type MemoryBlobs} from '../../support/memory-blobs.ts'

const KEY = Buffer.alloc(32, 7).toString('base64')
const {signal} = new AbortController()
const addressSchema = z.looseObject({port: z.int()})

const digestOf = (content: Uint8Array): Digest =>
  `sha256:${createHash('sha256').update(content).digest('hex')}`

async function withPeer(
  use: (at: {
    there: MemoryBlobs
    url: string
    as: (key: string, now?: () => number) => BlobStore
  }) => Promise<void>,
): Promise<void> {
  const there = memoryBlobs()
  const server = createServer((request, response) => {
    const options = {
      store: () => Promise.resolve(there),
      key: () => Promise.resolve(KEY),
      now: Date.now,
      signal,
    }
    servePeer(request, response, options).then(
      (taken) => (taken ? undefined : response.writeHead(404).end()),
      () => response.destroy(),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${addressSchema.parse(server.address()).port}`
  try {
    await use({there, url, as: (key, now = Date.now) => peerStore({node: 'worker-2', url, key, now})})
  } finally {
    server.closeAllConnections()
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

test('what was tampered with there is found', async () => {
  await withPeer(async ({there, as}) => {
    const digest = await put(there, Buffer.alloc(300_000, 'x'))
    there.tamper(digest)
    await expect(read(as(KEY).get(digest, signal))).rejects.toThrow()
  })
})

test('nobody without the key of the agents is given anything, nor with an old proof', async () => {
  await withPeer(async ({there, url, as}) => {
    const digest = await put(there, Buffer.from('sealed'))
    const path = `/v1/blobs/${digest}`
    expect((await fetch(`${url}${path}`)).status).toBe(403)
    await expect(as(Buffer.alloc(32, 8).toString('base64')).has(digest, signal)).rejects.toMatchObject({
      code: 'STORE_REFUSED',
    })
    await expect(as(KEY, () => Date.now() - 3_600_000).has(digest, signal)).rejects.toMatchObject({
      code: 'STORE_REFUSED',
    })
    const foreign = peerProof(`/v1/blobs/${digestOf(Buffer.from('another'))}`, KEY, Date.now())
    expect((await fetch(`${url}${path}`, {headers: {'x-clouder-proof': foreign}})).status).toBe(403)
  })
})

test('an agent that is not there is told by its node', async () => {
  const store = peerStore({node: 'worker-9', url: 'http://127.0.0.1:1', key: KEY, now: Date.now})
  await expect(store.has(digestOf(Buffer.from('x')), signal)).rejects.toMatchObject({
    code: 'STORE_UNREACHABLE',
  })
  await expect(store.has(digestOf(Buffer.from('x')), signal)).rejects.toThrow('worker-9')
})
