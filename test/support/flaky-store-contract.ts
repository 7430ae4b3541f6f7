import {randomBytes} from 'node:crypto'
import {expect, test, type TestContext} from 'vitest'
import type {BlobStore} from '../../src/checkpoint/stores/blob-store.ts'
import {gather} from '../../src/checkpoint/stores/content.ts'
import {manifestOf, putBytes} from './blob-store-contract.ts'
import {flakyFront, type Fate, type FlakyFront} from './flaky-front.ts'

export interface FlakyPlace {
  /** Of the server itself. */
  readonly origin: string
  /** The store, as it is seen through another origin. */
  readonly open: (origin: string) => Promise<BlobStore>
  /** Texts that nobody may be told. */
  readonly secrets: readonly string[]
}

export interface FlakyStoreContractOptions {
  /** An empty place; may skip the test. */
  readonly withPlace: (context: TestContext, use: (place: FlakyPlace) => Promise<void>) => Promise<void>
}

const signal = AbortSignal.timeout(280_000)
const ATTEMPTS = 5

/** What every BlobStore on a network does when that fails. */
export function flakyStoreContract(title: string, options: FlakyStoreContractOptions): void {
  const contract = (
    sentence: string,
    body: (made: {store: BlobStore; front: FlakyFront; place: FlakyPlace}) => Promise<void>,
  ): void => {
    test(`${title}: ${sentence}`, async (context) => {
      await options.withPlace(context, async (place) => {
        await using front = await flakyFront(place.origin)
        await body({store: await place.open(front.origin), front, place})
      })
    })
  }

  // Not every third: a registry's attempt has three requests, and the same would fail each time.
  for (const fate of ['reset', 'unavailable', 'lost'] satisfies Fate[]) {
    contract(`every fifth request is ${fate}, and a push and a pull end whole`, async ({store, front}) => {
      front.fate = ({number}) => (number % 5 === 0 ? fate : 'pass')
      const content = randomBytes(50_000)
      const {digest} = await putBytes(store, content)
      const other = await putBytes(store, randomBytes(10))
      const manifest = await store.putManifest(manifestOf(digest, other.digest), 'web', signal)
      expect(Buffer.compare(await gather(store.get(digest, signal)), content)).toBe(0)
      expect(await store.getManifest(manifest, signal)).toBeDefined()
      expect((await store.listManifests(signal)).map((found) => found.digest)).toEqual([manifest])
      await store.removeManifest(manifest, signal)
      expect(await store.listManifests(signal)).toEqual([])
      expect(front.seen.length).toBeGreaterThan(9)
    })
  }

  contract('a pull that breaks half-way goes on from there', async ({store, front}) => {
    const content = randomBytes(2_000_000)
    const {digest} = await putBytes(store, content)
    const before = front.seen.length
    front.fate = ({method, number}) => (method === 'GET' && number <= before + 2 ? 'half' : 'pass')
    expect(Buffer.compare(await gather(store.get(digest, signal)), content)).toBe(0)
    expect(front.seen.length - before).toBeGreaterThan(1)
  })

  contract('a server that is never available is given up after a few attempts, and named', async (made) => {
    const {store, front, place} = made
    front.fate = () => 'unavailable'
    const refusal: unknown = await store.listManifests(signal).catch((error: unknown) => error)
    expect(refusal).toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringContaining(store.location) as string,
    })
    for (const secret of place.secrets)
      expect(JSON.stringify(refusal) + String(refusal)).not.toContain(secret)
    expect(front.seen.length).toBe(ATTEMPTS)
  })

  contract('where nobody listens the place is named', async ({front, place}) => {
    const {origin} = front
    await front[Symbol.asyncDispose]()
    const store = await place.open(origin)
    await expect(putBytes(store, Buffer.from('x'))).rejects.toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringMatching(/does not answer: .*ECONNREFUSED/) as string,
    })
  })
}
