import {randomBytes} from 'node:crypto'
import {expect, test} from 'vitest'
import {openCheckpoint} from '../../../../src/checkpoint/sealed/open.ts'
import {verifyCheckpoint} from '../../../../src/checkpoint/sealed/verify.ts'
import {memoryBlobs} from '../../../support/memory-blobs.ts'
import {sealCheckpoint} from '../../../../src/checkpoint/sealed/seal.ts'
import type {BlobStore} from '../../../../src/checkpoint/stores/blob-store.ts'
import {metadataOf, newKeyring, pieces, seal, whole} from '../../../support/sealed-checkpoint.ts'

const {signal} = new AbortController()

test('what was sealed opens to the same archives and the same metadata', async () => {
  const [store, keyring] = [memoryBlobs(), await newKeyring()]
  const archives = {app: randomBytes(4_500_000), sidecar: Buffer.alloc(100_000), empty: Buffer.alloc(0)}
  const sealed = await seal(store, keyring, archives)
  const opened = await openCheckpoint({
    store,
    digest: sealed.digest,
    keys: keyring.wrappers,
    trust: [keyring.signer.publicKey],
    signal,
  })
  expect(opened.metadata).toEqual(sealed.metadata)
  expect(opened.metadata).toMatchObject(metadataOf(['app', 'sidecar', 'empty']))
  for (const {name, archiveBytes} of opened.metadata.containers) {
    const archive = archives[name as keyof typeof archives]
    expect(archiveBytes).toBe(archive.length)
    expect((await whole(opened.archive(name))).equals(archive)).toBe(true)
  }
  expect(sealed.sizeBytes).toBe(4_600_000)
  expect(sealed.newBytes).toBe(sealed.storedBytes)
})

test('a second sealing of the same puts nothing new but what names it', async () => {
  const [store, keyring] = [memoryBlobs(), await newKeyring()]
  const archives = {app: randomBytes(100_000)}
  const first = await seal(store, keyring, archives)
  const second = await seal(store, keyring, archives)
  expect(second).toEqual({...first, newBytes: 0})
})

test('two namespaces have no piece in common, whatever they store', async () => {
  const [store, keyring] = [memoryBlobs(), await newKeyring()]
  const archives = {app: randomBytes(3_000_000)}
  await seal(store, keyring, archives)
  const other = await seal(store, keyring, archives, 'other')
  // To seal what another namespace has stored is not cheaper than to seal anything else.
  expect(other.newBytes).toBe(other.storedBytes)
  const opened = await openCheckpoint({
    store,
    digest: other.digest,
    keys: keyring.wrappers,
    trust: [keyring.signer.publicKey],
    signal,
  })
  expect(opened.envelope.keyScope).toBe('other')
  expect((await whole(opened.archive('app'))).equals(archives.app)).toBe(true)
})

test('verify reads everything back, with keys and without', async () => {
  const [store, keyring] = [memoryBlobs(), await newKeyring()]
  const {digest, metadata} = await seal(store, keyring, {app: randomBytes(100_000)})
  const options = {store, digest, trust: [keyring.signer.publicKey], signal}
  expect(await verifyCheckpoint(options)).toMatchObject({
    name: 'default-web',
    signer: keyring.signer.publicKey,
  })
  expect(await verifyCheckpoint({...options, keys: keyring.wrappers})).toMatchObject({metadata})
})

test('what an older checkpoint has left and a newer one uses again is not collected under its hands', async () => {
  let nowMs = 0
  const [store, keyring] = [memoryBlobs({now: () => nowMs}), await newKeyring()]
  const archives = {app: randomBytes(100_000)}
  const first = await seal(store, keyring, archives)
  await store.removeManifest(first.digest, signal)
  nowMs = 10 * 86_400_000
  const {digest} = await seal(
    {
      ...store,
      putManifest: async (...manifest) => {
        await store.collect({graceMs: 86_400_000, dryRun: false, signal})
        return store.putManifest(...manifest)
      },
    },
    keyring,
    archives,
  )
  await verifyCheckpoint({store, digest, trust: [keyring.signer.publicKey], keys: keyring.wrappers, signal})
})

const SPOILT: readonly (readonly [string, string, (store: BlobStore) => Partial<BlobStore>])[] = [
  ['loses', 'BLOB_MISSING', () => ({put: () => Promise.resolve({isProven: false})})],
  [
    'cuts off',
    'BLOB_TAMPERED',
    (store) => ({
      get: async function* (...asked) {
        yield (await whole(store.get(...asked))).subarray(0, -1)
      },
    }),
  ],
  [
    'changes',
    'BLOB_TAMPERED',
    (store) => ({
      get: async function* (...asked) {
        const bytes = await whole(store.get(...asked))
        yield Buffer.from(bytes.map((byte, at) => (at === bytes.length - 20 ? byte ^ 1 : byte)))
      },
    }),
  ],
]
test.each(SPOILT)('what a store %s is found while it is read back', async (_, code, spoil) => {
  const [blobs, {keys, signer}] = [memoryBlobs(), await newKeyring()]
  const archive = randomBytes(300_000)
  const sealing = sealCheckpoint({
    metadata: metadataOf(['app']),
    archives: new Map([['app', () => pieces(archive)]]),
    keys,
    signer,
    store: {...blobs, ...spoil(blobs)},
    name: 'default-web',
    signal,
    readBack: true,
  })
  await expect(sealing).rejects.toMatchObject({code})
  expect(await blobs.listManifests(signal)).toEqual([])
})
