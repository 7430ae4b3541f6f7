import {createHash, randomBytes} from 'node:crypto'
import {setFlagsFromString} from 'node:v8'
import {runInNewContext} from 'node:vm'
import {expect, test, type TestContext} from 'vitest'
import type {BlobStore, Digest} from '../../src/checkpoint/stores/blob-store.ts'
import {digestOf, gather, onePiece} from '../../src/checkpoint/stores/content.ts'

export interface StoreUnderTest {
  readonly store: BlobStore
  /** Changes a byte of a blob behind the store's back; absent: nobody can. */
  readonly tamper?: (digest: Digest) => Promise<void> | void
  /** False: the place collects by itself. */
  readonly collects: boolean
}

export interface BlobStoreContractOptions {
  /** Of a memory that is counted: how large a blob streams through. */
  readonly largeBytes: number
  readonly manyBlobs: number
  /** An empty store; may skip the test. */
  readonly withStore: (context: TestContext, use: (made: StoreUnderTest) => Promise<void>) => Promise<void>
}

const signal = AbortSignal.timeout(280_000)
const HOUR_MS = 3_600_000

/** A manifest that names these blobs, the first as its configuration. */
export function manifestOf(config: Digest, ...layers: readonly Digest[]): Uint8Array {
  const descriptor = (digest: Digest) => ({mediaType: 'application/octet-stream', digest, size: 1})
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      artifactType: 'application/vnd.clouder.checkpoint.v1',
      config: {...descriptor(config), mediaType: 'application/vnd.clouder.checkpoint.envelope.v1+json'},
      layers: layers.map(descriptor),
    }),
  )
}

/** Puts bytes; gives their digest and how often they were asked for. */
export async function putBytes(
  store: BlobStore,
  content: Uint8Array,
): Promise<{digest: Digest; sent: number}> {
  const digest = digestOf(content)
  let sent = 0
  const source = () => {
    sent += 1
    return onePiece(content)
  }
  await store.put({digest, sizeBytes: content.length, content: source, signal})
  return {digest, sent}
}

/** What every BlobStore does. */
export function blobStoreContract(title: string, options: BlobStoreContractOptions): void {
  const contract = (
    sentence: string,
    body: (made: StoreUnderTest, context: TestContext) => Promise<void>,
  ) => {
    test(`${title}: ${sentence}`, async (context) => {
      await options.withStore(context, async (made) => await body(made, context))
    })
  }

  contract('what was put is there and comes back as it was, the empty blob too', async ({store}) => {
    for (const content of [randomBytes(70_000), Buffer.from('x'), Buffer.alloc(0)]) {
      const {digest} = await putBytes(store, content)
      expect(await store.has(digest, signal)).toBe(true)
      expect(Buffer.compare(await gather(store.get(digest, signal)), content)).toBe(0)
    }
    expect(store.location).not.toBe('')
  })

  contract('a blob that is there already is not sent again', async ({store}) => {
    const content = randomBytes(5000)
    expect(await putBytes(store, content)).toMatchObject({sent: 1})
    expect(await putBytes(store, content)).toMatchObject({sent: 0})
  })

  contract('a blob that was never put is missing', async ({store}) => {
    const digest = digestOf(randomBytes(8))
    expect(await store.has(digest, signal)).toBe(false)
    await expect(gather(store.get(digest, signal))).rejects.toMatchObject({code: 'BLOB_MISSING'})
    expect(await store.getManifest(digest, signal)).toBeUndefined()
    await store.removeManifest(digest, signal)
  })

  contract('a put that is aborted half-way leaves nothing, and may be done again', async ({store}) => {
    const content = randomBytes(3_000_000)
    const digest = digestOf(content)
    const stop = new AbortController()
    const half = async function* () {
      yield content.subarray(0, 1_500_000)
      stop.abort(new Error('the user pressed Ctrl-C'))
      yield await Promise.resolve(content.subarray(1_500_000))
    }
    const put = store.put({digest, sizeBytes: content.length, content: half, signal: stop.signal})
    await expect(put).rejects.toThrow('the user pressed Ctrl-C')
    expect(await store.has(digest, signal)).toBe(false)
    await putBytes(store, content)
    expect(digestOf(await gather(store.get(digest, signal)))).toBe(digest)
  })

  contract('a source that breaks half-way leaves nothing, and its own error is told', async ({store}) => {
    const content = randomBytes(3_000_000)
    const digest = digestOf(content)
    const half = async function* () {
      yield await Promise.resolve(content.subarray(0, 1_500_000))
      throw Object.assign(new Error('the archive is gone'), {code: 'ECONNRESET'})
    }
    const put = store.put({digest, sizeBytes: content.length, content: half, signal})
    await expect(put).rejects.toThrow('the archive is gone')
    expect(await store.has(digest, signal)).toBe(false)
  })

  contract('content that is not what its digest or its size says is not kept', async ({store}) => {
    const content = randomBytes(1000)
    const digest = digestOf(randomBytes(1000))
    const wrong = store.put({digest, sizeBytes: 1000, content: () => onePiece(content), signal})
    await expect(wrong).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
    expect(await store.has(digest, signal)).toBe(false)
    for (const sizeBytes of [999, 1001]) {
      const own = digestOf(content)
      const short = store.put({digest: own, sizeBytes, content: () => onePiece(content), signal})
      await expect(short).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
      expect(await store.has(own, signal)).toBe(false)
    }
  })

  contract('a blob that was changed behind its back is told', async ({store, tamper}, context) => {
    if (tamper === undefined) return context.skip('nobody can change a blob there')
    const {digest} = await putBytes(store, randomBytes(70_000))
    await tamper(digest)
    await expect(gather(store.get(digest, signal))).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
    // Whoever checks it gets it as it lies there.
    const changed = await gather(store.get(digest, signal, {unchecked: true}))
    expect(digestOf(changed)).not.toBe(digest)
  })

  contract('a blob is read into memory that is given, where the store can', async ({store, tamper}) => {
    if (store.getInto === undefined) return
    const content = randomBytes(3_000_000)
    const {digest} = await putBytes(store, content)
    const room = Buffer.from(new SharedArrayBuffer(content.length + 5))
    expect(await store.getInto(digest, room, signal)).toBe(content.length)
    expect(room.subarray(0, content.length).equals(content)).toBe(true)
    const small = store.getInto(digest, Buffer.alloc(content.length - 1), signal)
    await expect(small).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
    const absent = store.getInto(digestOf(randomBytes(8)), room, signal)
    await expect(absent).rejects.toMatchObject({code: 'BLOB_MISSING'})
    const stop = AbortSignal.abort(new Error('enough'))
    await expect(store.getInto(digest, room, stop)).rejects.toThrow('enough')
    await tamper?.(digest)
    expect(await store.getInto(digest, room, signal)).not.toBe(0)
  })

  contract('what was hashed already is stored as it is given', async ({store}) => {
    const content = randomBytes(3_000_000)
    const digest = digestOf(content)
    const given = {digest, sizeBytes: content.length, content: () => onePiece(content), signal}
    await store.put({...given, isHashed: true})
    expect(digestOf(await gather(store.get(digest, signal)))).toBe(digest)
  })

  contract('a reader that stops early, or is aborted, ends the reading', async ({store}) => {
    const {digest} = await putBytes(store, randomBytes(2_000_000))
    for await (const piece of store.get(digest, signal)) {
      expect(piece.length).toBeGreaterThan(0)
      break
    }
    const stop = new AbortController()
    const reading = async () => {
      for await (const _piece of store.get(digest, stop.signal)) stop.abort(new Error('enough'))
    }
    await expect(reading()).rejects.toThrow('enough')
  })

  contract('a manifest is named, read, listed and removed; again is fine', async ({store}) => {
    const [one, two] = [await putBytes(store, randomBytes(10)), await putBytes(store, randomBytes(10))]
    const manifest = manifestOf(one.digest, two.digest)
    const digest = await store.putManifest(manifest, 'team-a-web.1', signal)
    expect(digest).toBe(digestOf(manifest))
    expect(await store.putManifest(manifest, 'team-a-web.1', signal)).toBe(digest)
    expect(await gather(onePiece((await store.getManifest(digest, signal)) ?? Buffer.alloc(0)))).toEqual(
      Buffer.from(manifest),
    )
    const other = await store.putManifest(manifestOf(two.digest), 'team-a-web.1', signal)
    const listed = await store.listManifests(signal)
    expect(new Set(listed.map((found) => found.digest))).toEqual(new Set([digest, other]))
    for (const found of listed) {
      expect(found.name).toBe('team-a-web.1')
      expect(Math.abs(Date.parse(found.storedAt) - Date.now())).toBeLessThan(HOUR_MS)
    }
    await store.removeManifest(digest, signal)
    await store.removeManifest(digest, signal)
    expect(await store.getManifest(digest, signal)).toBeUndefined()
    expect((await store.listManifests(signal)).map((found) => found.digest)).toEqual([other])
    expect(await store.has(two.digest, signal)).toBe(true)
  })

  contract('a manifest whose blobs are not all there is not named', async ({store}) => {
    const {digest} = await putBytes(store, randomBytes(10))
    const naming = store.putManifest(manifestOf(digest, digestOf(randomBytes(9))), 'web', signal)
    await expect(naming).rejects.toMatchObject({code: 'BLOB_MISSING'})
    expect(await store.listManifests(signal)).toEqual([])
  })

  contract('two writers of the same blob at the same time both succeed', async ({store}) => {
    const content = randomBytes(3_000_000)
    await Promise.all([1, 2, 3, 4].map(async () => await putBytes(store, content)))
    expect(digestOf(await gather(store.get(digestOf(content), signal)))).toBe(digestOf(content))
  })

  contract('what no manifest names is collected once it is old, and what one names never', async (made) => {
    const {store} = made
    const kept = await putBytes(store, randomBytes(100))
    const left = await putBytes(store, randomBytes(200))
    const manifest = await store.putManifest(manifestOf(kept.digest), 'web', signal)
    const collect = (more: {graceMs: number; dryRun: boolean; disregard?: ReadonlySet<Digest>}) =>
      store.collect({...more, signal})
    const nothing = {removedBlobs: 0, freedBytes: 0}
    expect(await collect({graceMs: HOUR_MS, dryRun: false})).toEqual(nothing)
    if (!made.collects) {
      expect(await collect({graceMs: -HOUR_MS, dryRun: false})).toEqual(nothing)
      return
    }
    // A grace of less than nothing: everything is old.
    const disregard = new Set([manifest])
    expect(await collect({graceMs: -HOUR_MS, dryRun: true, disregard})).toMatchObject({removedBlobs: 2})
    const expected = {removedBlobs: 1, freedBytes: 200}
    expect(await collect({graceMs: -HOUR_MS, dryRun: true})).toEqual(expected)
    expect(await store.has(left.digest, signal)).toBe(true)
    expect(await collect({graceMs: -HOUR_MS, dryRun: false})).toEqual(expected)
    expect(await store.has(left.digest, signal)).toBe(false)
    expect(await store.has(kept.digest, signal)).toBe(true)
    await store.removeManifest(manifest, signal)
    expect(await collect({graceMs: -HOUR_MS, dryRun: false})).toEqual({removedBlobs: 1, freedBytes: 100})
  })

  contract('many blobs and a manifest of all of them', async ({store}) => {
    const contents = Array.from({length: options.manyBlobs}, () => randomBytes(64))
    const digests: Digest[] = []
    for (let from = 0; from < contents.length; from += 16) {
      const put = await Promise.all(
        contents.slice(from, from + 16).map((content) => putBytes(store, content)),
      )
      digests.push(...put.map(({digest}) => digest))
    }
    const [config = digestOf(Buffer.alloc(0)), ...layers] = digests
    const manifest = await store.putManifest(manifestOf(config, ...layers), 'many', signal)
    expect(await store.getManifest(manifest, signal)).toBeDefined()
    const collected = await store.collect({graceMs: -HOUR_MS, dryRun: false, signal})
    expect(collected.removedBlobs).toBe(0)
    for (const digest of digests.slice(0, 5)) expect(await store.has(digest, signal)).toBe(true)
  })

  contract('a large blob streams through', async ({store}) => {
    const piece = randomBytes(1 << 20)
    const pieces = options.largeBytes / piece.length
    const hash = createHash('sha256')
    for (let index = 0; index < pieces; index += 1) hash.update(piece)
    const digest: Digest = `sha256:${hash.digest('hex')}`
    const heldBytes = countHeldBytes()
    const before = heldBytes()
    const samples: number[] = []
    const content = async function* () {
      for (let index = 0; index < pieces; index += 1) {
        if (index % 8 === 0) samples.push(heldBytes() - before)
        yield await Promise.resolve(piece)
      }
    }
    await store.put({digest, sizeBytes: options.largeBytes, content, signal})
    let readBytes = 0
    let looked = 0
    for await (const read of store.get(digest, signal)) {
      readBytes += read.length
      if (readBytes - looked < 8 * piece.length) continue
      looked = readBytes
      samples.push(heldBytes() - before)
    }
    expect(readBytes).toBe(options.largeBytes)
    // What is held whole grows to all of it on the way: half of it in the middle. A moment's backlog is no such thing.
    const middle = samples.toSorted((a, b) => a - b)[Math.floor(samples.length / 2)]
    // A small one may be held whole.
    if (options.largeBytes > 2 ** 25) expect(middle).toBeLessThan(options.largeBytes * 0.4)
  })
}

/** Bytes of buffers that somebody still holds. */
function countHeldBytes(): () => number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  return () => {
    collect()
    return process.memoryUsage().arrayBuffers
  }
}
