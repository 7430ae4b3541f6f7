import {expect, test} from 'vitest'
import {memoryBlobs} from '../../../support/memory-blobs.ts'
import {controllerScene} from '../../../support/controller-scene.ts'
import {newKeyring, seal} from '../../../support/sealed-checkpoint.ts'

const HOUR_MS = 3_600_000
const signal = AbortSignal.timeout(60_000)

test('what a cluster stored and no Checkpoint names any more goes from its stores within days', async () => {
  const own = await newKeyring()
  const blobs = memoryBlobs({now: () => scene.clock.now()})
  const scene = controllerScene({openStore: () => Promise.resolve(blobs)})
  const before = await seal(blobs, own, {web: Buffer.from('of the cluster before')})
  await scene.play({forMs: HOUR_MS})
  scene.kube.put({apiVersion: 'v1', kind: 'Namespace', metadata: {name: 'clouder-system'}})
  scene.kube.put({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {name: 'checkpoint-key', namespace: 'clouder-system'},
    data: {'public-key': Buffer.from(own.signer.publicKey).toString('base64')},
  })
  const named = await seal(blobs, own, {web: Buffer.from('named')})
  const orphan = await seal(blobs, own, {web: Buffer.from('orphan')})
  scene.put('CheckpointStore', 'far', {s3: {bucket: 'b', region: 'eu-central-1'}})
  scene.put('Checkpoint', 'one', {import: {digest: named.digest}, storeName: 'far'})
  const digests = async () => (await blobs.listManifests(signal)).map(({digest}) => digest)
  await scene.play({forMs: 12 * HOUR_MS})
  expect(await digests()).toContain(orphan.digest)
  await scene.play({forMs: 24 * HOUR_MS})
  expect(new Set(await digests())).toEqual(new Set([before.digest, named.digest]))
  await scene.end()
})
