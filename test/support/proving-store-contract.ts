import {randomBytes} from 'node:crypto'
import {expect, test, type TestContext} from 'vitest'
import type {BlobStore} from '../../src/checkpoint/stores/blob-store.ts'
import {digestOf, onePiece, PROBE} from '../../src/checkpoint/stores/content.ts'
import {lyingFront, type GivenAnswer, type HeldRequest, type Lie, type LyingFront} from './lying-front.ts'
import {newKeyring, seal} from './sealed-checkpoint.ts'

export interface ProvingPlace {
  /** Of the server itself. */
  readonly origin: string
  /** The store, as it is seen through another origin. */
  readonly open: (origin: string) => Promise<BlobStore>
}

export interface ProvingStoreContractOptions {
  /** An empty place; may skip the test. */
  readonly withPlace: (context: TestContext, use: (place: ProvingPlace) => Promise<void>) => Promise<void>
  /** What an honest service of this kind does that the server behind does not. */
  readonly honest?: Lie
  /** Its answer to content that is not what the checksum says. */
  readonly refusal: GivenAnswer
  /** A service that accepts everything, and says of it what it was told. */
  readonly gullible: Lie
  /** One that refuses a wrong checksum, and stores something else than what it acknowledges. */
  readonly storesElse: Lie
  /** One that says of what it has another checksum. */
  readonly saysElse: Lie
}

const signal = AbortSignal.timeout(280_000)

/** Whether a request sends a blob: the object itself, or an upload of it. */
export const sendsBlob = ({method, path}: HeldRequest): boolean =>
  method === 'PUT' && path.includes('/blobs/') && !isProbe(path)

const isProbe = (path: string): boolean =>
  /\/probe(\?|$)/.test(path) || decodeURIComponent(path).includes(PROBE.wrongDigest)

const readsBlob = ({method, path}: HeldRequest): boolean => method === 'GET' && path.includes('/blobs/')

/** What every BlobStore on a network does where the service proves what it stored, and where it only says so. */
export function provingStoreContract(title: string, options: ProvingStoreContractOptions): void {
  const {honest = {}} = options
  const contract = (
    sentence: string,
    lie: Lie,
    body: (made: {store: BlobStore; front: LyingFront}) => Promise<void>,
  ): void => {
    test(`${title}: ${sentence}`, async (context) => {
      await options.withPlace(context, async (place) => {
        await using front = await lyingFront(place.origin)
        front.lie = lie
        await body({store: await place.open(front.origin), front})
      })
    })
  }

  contract('what is sent is proven, and what was there already is not', honest, async ({store, front}) => {
    const content = randomBytes(50_000)
    expect(await proven(store, content)).toBe(true)
    expect(front.seen.filter(readsBlob)).toEqual([])
    expect(await proven(store, content)).toBe(false)
    expect(await proven(store, randomBytes(60_000))).toBe(true)
    expect(await proven(store, Buffer.alloc(0))).toBe(true)
    // Asked once.
    const probes = front.seen.filter(({method, path}) => method === 'PUT' && isProbe(path))
    expect(probes).toHaveLength(1)
    expect(await store.has(PROBE.wrongDigest, signal)).toBe(false)
  })

  contract('nobody who does not ask pays for a proof', honest, async ({store, front}) => {
    const content = randomBytes(5000)
    const given = {digest: digestOf(content), sizeBytes: content.length, content: () => onePiece(content)}
    expect(await store.put({...given, signal})).toEqual({isProven: false})
    expect(front.seen.filter(({path}) => isProbe(path))).toEqual([])
  })

  contract('a checkpoint is sealed without reading its pieces', honest, async ({store, front}) => {
    await sealed(store)
    expect(front.seen.filter(sendsBlob).length).toBeGreaterThan(2)
    expect(front.seen.filter(readsBlob)).toEqual([])
    // Again: nothing is sent, so all of it is read.
    await sealed(store)
    expect(front.seen.filter(readsBlob).length).toBeGreaterThan(2)
  })

  contract('one that accepts a wrong checksum is read back', options.gullible, async ({store, front}) => {
    expect(await proven(store, randomBytes(50_000))).toBe(false)
    expect(await proven(store, randomBytes(50_000))).toBe(false)
    const probes = front.seen.filter(({method, path}) => method === 'PUT' && isProbe(path))
    expect(probes).toHaveLength(1)
    await sealed(store)
    expect(front.seen.filter(readsBlob).length).toBeGreaterThan(2)
  })

  contract('one that stores something else is found out', options.storesElse, async ({store}) => {
    expect(await proven(store, randomBytes(50_000))).toBe(false)
    await expect(sealed(store)).rejects.toMatchObject({
      code: expect.stringMatching(/^BLOB_(TAMPERED|MISSING)$/) as string,
    })
    expect(await store.listManifests(signal)).toEqual([])
  })

  const drops: Lie = {
    ...honest,
    answer: (request) =>
      honest.answer?.(request) ?? (sendsBlob(request) ? {status: 201, headers: {}} : undefined),
  }
  contract('one that acknowledges and stores nothing is found out', drops, async ({store}) => {
    expect(await proven(store, randomBytes(50_000))).toBe(false)
    await expect(sealed(store)).rejects.toMatchObject({code: 'BLOB_MISSING'})
    expect(await store.listManifests(signal)).toEqual([])
  })

  contract('one that says another checksum is read back', options.saysElse, async ({store, front}) => {
    expect(await proven(store, randomBytes(50_000))).toBe(false)
    await sealed(store)
    expect(front.seen.filter(readsBlob).length).toBeGreaterThan(2)
  })

  for (const status of [403, 500, 503]) {
    const unwilling: Lie = {
      ...honest,
      answer: (request) => (isProbe(request.path) ? {status, headers: {}} : honest.answer?.(request)),
    }
    contract(`one that answers ${status} to the question is read back`, unwilling, async ({store, front}) => {
      expect(await proven(store, randomBytes(50_000))).toBe(false)
      await sealed(store)
      expect(front.seen.filter(readsBlob).length).toBeGreaterThan(2)
    })
  }

  contract('what was damaged on the way is refused, and sent again', honest, async ({store, front}) => {
    const refusals = [options.refusal]
    const answer = (request: HeldRequest) =>
      sendsBlob(request) ? (refusals.pop() ?? honest.answer?.(request)) : honest.answer?.(request)
    front.lie = {...honest, answer}
    expect(await proven(store, randomBytes(50_000))).toBe(true)
    expect(front.seen.filter(sendsBlob)).toHaveLength(2)
  })
}

/** Puts and asks whether that is proven. */
async function proven(store: BlobStore, content: Uint8Array): Promise<boolean> {
  const given = {digest: digestOf(content), sizeBytes: content.length, content: () => onePiece(content)}
  return (await store.put({...given, prove: true, signal})).isProven
}

const ring = await newKeyring()
const archive = randomBytes(5_000_000)
const sealed = (store: BlobStore) => seal(store, ring, {app: archive}, 'default', {readBack: true})

export function flipped(body: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> {
  const other = Buffer.from(body)
  other[0] = (other[0] ?? 0) ^ 1
  return other
}
