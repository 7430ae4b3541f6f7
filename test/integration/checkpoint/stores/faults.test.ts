import {expect, test} from 'vitest'
import {verifyCheckpoint} from '../../../../src/checkpoint/sealed/verify.ts'
import {memoryBlobs, type Fault, type MemoryBlobs} from '../../../support/memory-blobs.ts'
import {newKeyring, seal} from '../../../support/sealed-checkpoint.ts'

const signal = AbortSignal.timeout(60_000)
const ring = await newKeyring()
const ARCHIVES = {web: Buffer.alloc(1000, 7)}
const push = (store: MemoryBlobs) => seal(store, ring, ARCHIVES)

/** Calls that a push makes of a store. */
async function callsOfAPush(): Promise<number> {
  const store = memoryBlobs()
  await push(store)
  return store.calls.length
}

const once = (number: number, fault: Fault) => (call: {readonly number: number}) =>
  call.number === number ? fault : undefined

test('a push whose store fails once at any of its calls, or loses the answer, ends whole without its caller seeing it', async () => {
  const calls = await callsOfAPush()
  expect(calls).toBeGreaterThan(8)
  for (const fault of ['passing', 'lost'] as const) {
    for (let number = 1; number <= calls; number += 1) {
      const store = memoryBlobs({fault: once(number, fault)})
      const {digest} = await push(store)
      await whole(store, digest, `${fault} at call ${number}`)
    }
  }
})

test('a push that is killed at any of its calls leaves nothing half, and the next one ends whole', async () => {
  const calls = await callsOfAPush()
  for (const fault of ['killed', 'killed-after'] as const) {
    for (let number = 1; number <= calls; number += 1) {
      const store = memoryBlobs({fault: once(number, fault)})
      await expect(push(store), `${fault} at call ${number}`).rejects.toThrow(fault)
      store.revive()
      for (const {digest} of await store.listManifests(signal)) await whole(store, digest, 'what was left')
      const {digest} = await push(store)
      await whole(store, digest, `${fault} at call ${number}`)
    }
  }
})

test('a push to a store that never answers gives up after a few attempts and says where', async () => {
  const store = memoryBlobs({location: 's3://bucket', fault: () => 'passing'})
  await expect(push(store)).rejects.toMatchObject({
    code: 'STORE_UNREACHABLE',
    message: expect.stringContaining('s3://bucket') as string,
  })
  const perKey = Map.groupBy(store.calls, ({operation, key}) => `${operation} ${key}`)
  for (const made of perKey.values()) expect(made).toHaveLength(5)
})

test('a push that the store refuses is not tried again', async () => {
  const store = memoryBlobs({fault: ({operation}) => (operation === 'write' ? 'refused' : undefined)})
  await expect(push(store)).rejects.toMatchObject({code: 'STORE_REFUSED'})
  const writes = store.calls.filter(({operation}) => operation === 'write')
  expect(new Set(writes.map(({key}) => key)).size).toBe(writes.length)
})

async function whole(store: MemoryBlobs, digest: `sha256:${string}`, when: string): Promise<void> {
  const checked = verifyCheckpoint({store, digest, trust: [ring.signer.publicKey], signal})
  await expect(checked, when).resolves.toBeDefined()
}
