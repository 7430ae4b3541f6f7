import {randomBytes} from 'node:crypto'
import fc from 'fast-check'
import {expect, test} from 'vitest'
import {openCheckpoint} from '../../../../src/checkpoint/sealed/open.ts'
import type {Sealed} from '../../../../src/checkpoint/sealed/seal.ts'
import {verifyCheckpoint} from '../../../../src/checkpoint/sealed/verify.ts'
import type {BlobStore} from '../../../../src/checkpoint/stores/blob-store.ts'
import {memoryBlobs, type MemoryBlobs} from '../../../support/memory-blobs.ts'
import {newKeyring, seal, whole, type Keyring} from '../../../support/sealed-checkpoint.ts'

const {signal} = new AbortController()

/** Fails unless all of it opens. */
async function openAll(store: BlobStore, {digest}: Pick<Sealed, 'digest'>, keyring: Keyring): Promise<void> {
  const trust = [keyring.signer.publicKey]
  const opened = await openCheckpoint({store, digest, keys: keyring.wrappers, trust, signal})
  for (const {name} of opened.metadata.containers) await whole(opened.archive(name))
}

async function newCheckpoint(): Promise<{store: MemoryBlobs; keyring: Keyring; sealed: Sealed}> {
  const [store, keyring] = [memoryBlobs(), await newKeyring()]
  return {store, keyring, sealed: await seal(store, keyring, {app: randomBytes(3000)})}
}

test('a bit of any byte of any blob that is another is found', async () => {
  const {store, keyring, sealed} = await newCheckpoint()
  const objects = [...store.objects.values()].filter(({length}) => length > 0)
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.nat(), fc.nat({max: 7}), async (which, where, bit) => {
      const object = objects[which % objects.length] ?? Buffer.alloc(1)
      const at = where % object.length
      const flip = () => (object[at] = (object[at] ?? 0) ^ (1 << bit))
      flip()
      try {
        await expect(openAll(store, sealed, keyring)).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
      } finally {
        flip()
      }
    }),
    {numRuns: 40},
  )
  await openAll(store, sealed, keyring)
})

test('a blob that is gone is told as that', async () => {
  const {store, keyring, sealed} = await newCheckpoint()
  const trust = [keyring.signer.publicKey]
  const {envelope} = await openCheckpoint({
    store,
    digest: sealed.digest,
    keys: keyring.wrappers,
    trust,
    signal,
  })
  for (const lost of [envelope.table, ...envelope.chunks]) {
    const lossy: BlobStore = {
      ...store,
      get: (digest, stop) => store.get(digest === lost.digest ? `sha256:${'0'.repeat(64)}` : digest, stop),
    }
    await expect(openAll(lossy, sealed, keyring)).rejects.toMatchObject({code: 'BLOB_MISSING'})
    const verifying = verifyCheckpoint({store: lossy, digest: sealed.digest, trust, signal})
    await expect(verifying).rejects.toMatchObject({code: 'BLOB_MISSING'})
  }
  const nowhere = {digest: `sha256:${'0'.repeat(64)}`} as const
  await expect(openAll(store, nowhere, keyring)).rejects.toMatchObject({code: 'BLOB_MISSING'})
})

/** A store that gives one blob for another and says nothing. */
const swapping = (store: BlobStore, one: string, other: `sha256:${string}`): BlobStore => ({
  ...store,
  get: (digest, stop) => store.get(digest === one ? other : digest, stop),
})

test('pieces of other checkpoints under the same key, and of the same one elsewhere, are not taken', async () => {
  const {store, keyring, sealed} = await newCheckpoint()
  const trust = [keyring.signer.publicKey]
  const envelopeOf = async ({digest}: Sealed) =>
    (await openCheckpoint({store, digest, keys: keyring.wrappers, trust, signal})).envelope
  const own = await envelopeOf(sealed)
  // Of another size, or the tables of both would be the same.
  const foreign = await envelopeOf(await seal(store, keyring, {app: randomBytes(3001)}))
  const swaps = [
    [own.chunks[0], foreign.chunks[0]],
    [own.table, foreign.table],
    [own.chunks[0], own.table],
  ] as const
  for (const [one, other] of swaps) {
    if (one === undefined || other === undefined) throw new TypeError('it has a piece')
    await expect(openAll(swapping(store, one.digest, other.digest), sealed, keyring)).rejects.toMatchObject({
      code: 'BLOB_TAMPERED',
    })
  }
})

interface Manifest {
  config: unknown
  layers: unknown[]
  annotations: Record<string, string>
}

/** Puts a manifest that somebody without the signing key has changed. */
async function forged(store: MemoryBlobs, {digest}: Sealed, change: (manifest: Manifest) => void) {
  const manifest = JSON.parse(
    Buffer.from((await store.getManifest(digest, signal)) ?? []).toString(),
  ) as Manifest
  change(manifest)
  return {digest: await store.putManifest(Buffer.from(JSON.stringify(manifest)), 'forged', signal)}
}

test('a manifest whose parts, name or signature somebody changed is refused', async () => {
  const {store, keyring, sealed} = await newCheckpoint()
  const other = await seal(store, keyring, {app: randomBytes(3000)})
  const stranger = await seal(store, await newKeyring(), {app: randomBytes(3000)})
  const parts = JSON.parse(
    Buffer.from((await store.getManifest(other.digest, signal)) ?? []).toString(),
  ) as Manifest
  const changes: ((manifest: Manifest) => void)[] = [
    (manifest) => (manifest.config = parts.config),
    (manifest) => (manifest.layers = parts.layers),
    (manifest) => manifest.layers.push(parts.layers[1]),
    (manifest) => (manifest.annotations['org.opencontainers.image.title'] = 'kube-system-etcd'),
    (manifest) =>
      (manifest.annotations['dev.clouder.signature'] = parts.annotations['dev.clouder.signature'] ?? ''),
    (manifest) => delete manifest.annotations['dev.clouder.signature'],
  ]
  for (const change of changes) {
    const digest = await forged(store, sealed, change)
    await expect(openAll(store, digest, keyring)).rejects.toMatchObject({code: 'SIGNATURE_INVALID'})
  }
  await expect(openAll(store, stranger, keyring)).rejects.toMatchObject({code: 'SIGNATURE_INVALID'})
})

test('a checkpoint that a trusted stranger signed for others is not opened', async () => {
  const {store, keyring, sealed} = await newCheckpoint()
  const other = {...(await newKeyring()), signer: keyring.signer}
  await expect(openAll(store, sealed, other)).rejects.toMatchObject({code: 'KEY_WRONG'})
  expect(
    await verifyCheckpoint({store, digest: sealed.digest, trust: [keyring.signer.publicKey], signal}),
  ).toMatchObject({name: 'default-web'})
})

test('the same archive gives the same pieces under one data key, and others under another', async () => {
  const archive = randomBytes(3000)
  const [store, keyring, other] = [memoryBlobs(), await newKeyring(), await newKeyring()]
  const chunksOf = async ({digest}: Sealed, {wrappers, signer}: Keyring) =>
    (await openCheckpoint({store, digest, keys: wrappers, trust: [signer.publicKey], signal})).envelope.chunks
  const first = await chunksOf(await seal(store, keyring, {app: archive}), keyring)
  expect(await chunksOf(await seal(store, keyring, {app: archive}), keyring)).toEqual(first)
  expect(await chunksOf(await seal(store, other, {app: archive}), other)).not.toEqual(first)
})

test('nothing of an archive lies in the store in clear, unless that was wanted', async () => {
  const canary = randomBytes(32).toString('hex')
  const lies = async (keyring: Pick<Keyring, 'keys' | 'signer'>) => {
    const store = memoryBlobs()
    // What does not compress stays as it is under zstd: the canary would be found.
    await seal(store, keyring, {
      app: Buffer.concat([randomBytes(2000), Buffer.from(canary), randomBytes(2000)]),
    })
    return [...store.objects.values()].some((object) => Buffer.from(object).includes(canary.slice(8, 40)))
  }
  const keyring = await newKeyring()
  expect(await lies(keyring)).toBe(false)
  expect(await lies({...keyring, keys: {encryption: 'none'}})).toBe(true)
})

test('a store that keeps checkpoints in clear opens them too, and finds what was changed', async () => {
  const [store, keyring] = [memoryBlobs(), await newKeyring()]
  const sealed = await seal(store, {...keyring, keys: {encryption: 'none'}}, {app: randomBytes(3000)})
  await openAll(store, sealed, keyring)
  const [, blob] = [...store.objects].find(([key]) => key.startsWith('blobs/')) ?? []
  if (blob !== undefined) blob[20] = (blob[20] ?? 0) ^ 1
  await expect(openAll(store, sealed, keyring)).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
})
