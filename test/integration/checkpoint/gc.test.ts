import {AsyncLocalStorage} from 'node:async_hooks'
import {expect, test} from 'vitest'
import {removeGarbage, type GarbageOptions} from '../../../src/checkpoint/gc.ts'
import type {Digest} from '../../../src/checkpoint/stores/blob-store.ts'
import {digestOf} from '../../../src/checkpoint/stores/content.ts'
import {manifestOf, putBytes} from '../../support/blob-store-contract.ts'
import {memoryBlobs} from '../../support/memory-blobs.ts'
import {newKeyring, seal} from '../../support/sealed-checkpoint.ts'

const DAY_MS = 86_400_000
const signal = AbortSignal.timeout(60_000)

/** A store with checkpoints of two days ago that share a container: `kept`, `orphan`, and one that another cluster made. */
async function storeWithOrphans() {
  const clock = {nowMs: Date.parse('2026-11-19T12:00:00Z')}
  const store = memoryBlobs({now: () => clock.nowMs})
  const [own, foreign] = [await newKeyring(), await newKeyring()]
  const shared = Buffer.alloc(100_000, 1)
  const kept = await seal(store, own, {web: shared, kept: Buffer.from('kept')})
  const orphan = await seal(store, own, {web: shared, orphan: Buffer.from('orphan')})
  const other = await seal(store, foreign, {web: Buffer.from('another cluster')})
  clock.nowMs += 2 * DAY_MS
  const collect = (more: Partial<GarbageOptions> = {}) =>
    removeGarbage({
      store,
      named: () => Promise.resolve(new Set([kept.digest])),
      own: {publicKey: own.signer.publicKey, sinceMs: 0},
      dryRun: false,
      nowMs: clock.nowMs,
      signal,
      ...more,
    })
  return {clock, store, own, kept, orphan, other, collect}
}

const digestsIn = async (store: ReturnType<typeof memoryBlobs>): Promise<ReadonlySet<Digest>> =>
  new Set((await store.listManifests(signal)).map(({digest}) => digest))

test('a checkpoint that no object names goes with what it alone needed; those of other clusters stay', async () => {
  const {store, kept, orphan, other, collect} = await storeWithOrphans()
  const before = store.objects.size
  const found = await collect({dryRun: true})
  expect(store.objects.size).toBe(before)
  const removed = await collect()
  expect(found).toEqual(removed)
  expect(removed.removedManifests.map(({digest}) => digest)).toEqual([orphan.digest])
  // Its envelope, its table, and the one piece that was not shared.
  expect(removed.removedBlobs).toBe(3)
  expect(await digestsIn(store)).toEqual(new Set([kept.digest, other.digest]))
  expect(await collect()).toMatchObject({removedManifests: [], removedBlobs: 0})
})

test('what was stored within the grace stays, named or not', async () => {
  const {store, collect} = await storeWithOrphans()
  const before = store.objects.size
  expect(await collect({graceMs: 3 * DAY_MS})).toMatchObject({removedManifests: [], removedBlobs: 0})
  expect(store.objects.size).toBe(before)
})

test('what was stored before the cluster had its key stays: it was taken over from a cluster before', async () => {
  const {clock, store, own, kept, orphan, other, collect} = await storeWithOrphans()
  await collect({own: {publicKey: own.signer.publicKey, sinceMs: clock.nowMs - DAY_MS}})
  expect(await digestsIn(store)).toEqual(new Set([kept.digest, orphan.digest, other.digest]))
})

test('what is named while the store is listed stays', async () => {
  const {store, kept, orphan, collect} = await storeWithOrphans()
  const seen: number[] = []
  await collect({
    named: () => {
      seen.push(store.calls.length)
      return Promise.resolve(new Set([kept.digest, orphan.digest]))
    },
  })
  expect(seen[0]).toBeGreaterThan(0)
  expect((await digestsIn(store)).has(orphan.digest)).toBe(true)
})

test('a push that takes up left-over blobs while they are collected ends whole, as long as none was looked at for the last time', async () => {
  const ownCalls = new AsyncLocalStorage<true>()
  const came: string[] = []
  for (let at = 1; at === came.length + 1; at += 1) {
    const clock = {nowMs: Date.parse('2026-11-19T12:00:00Z')}
    const collection: {calls?: number; looks?: number; push?: Promise<undefined>} = {}
    const store = memoryBlobs({
      now: () => clock.nowMs,
      fault: ({operation}) => {
        if (collection.calls === undefined || ownCalls.getStore() === true) return undefined
        collection.calls += 1
        if (operation === 'stat') collection.looks = (collection.looks ?? 0) + 1
        // Between the last look at a blob and its removal nothing may come: that is one call long.
        if (collection.calls === at && (collection.looks ?? 0) <= 1) {
          came.push(operation)
          collection.push = ownCalls.run(true, async () => {
            await pushOf(store)
            return undefined
          })
        }
        return collection.push
      },
    })
    await store.removeManifest(await pushOf(store), signal)
    clock.nowMs += 2 * DAY_MS
    collection.calls = 0
    await store.collect({graceMs: DAY_MS, dryRun: false, signal})
    expect(await missingBlobs(store), `pushed before call ${at}`).toEqual([])
  }
  expect(came).toEqual(['list', 'list', 'stat'])
})

/** A checkpoint of three blobs, the same every time. */
async function pushOf(store: ReturnType<typeof memoryBlobs>): Promise<Digest> {
  const put = [1, 2, 3].map((byte) => putBytes(store, Buffer.alloc(100, byte)))
  const [config, ...layers] = (await Promise.all(put)).map(({digest}) => digest)
  return store.putManifest(manifestOf(config ?? digestOf(Buffer.alloc(0)), ...layers), 'web', signal)
}

/** Blobs that a manifest of the store names and that are not there. */
async function missingBlobs(store: ReturnType<typeof memoryBlobs>): Promise<readonly string[]> {
  const missing: string[] = []
  for (const {digest} of await store.listManifests(signal)) {
    const manifest = Buffer.from((await store.getManifest(digest, signal)) ?? Buffer.alloc(0)).toString()
    for (const [, hex = ''] of manifest.matchAll(/"digest":"sha256:([0-9a-f]{64})"/g)) {
      if (!store.objects.has(`blobs/sha256/${hex}`)) missing.push(hex)
    }
  }
  return missing
}
