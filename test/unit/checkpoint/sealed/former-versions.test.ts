import {createHash} from 'node:crypto'
import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {Readable} from 'node:stream'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {digestSchema} from '../../../../src/api/sealed-checkpoint.ts'
import {ageWrapper} from '../../../../src/checkpoint/sealed/age.ts'
import {openCheckpoint, type OpenedCheckpoint} from '../../../../src/checkpoint/sealed/open.ts'
import {memoryBlobs} from '../../../support/memory-blobs.ts'
import {whole} from '../../../support/sealed-checkpoint.ts'

const {signal} = new AbortController()

const keptSchema = z.object({
  identity: z.string(),
  recipient: z.string(),
  publicKey: z.string(),
  digest: digestSchema,
  manifest: z.base64(),
  blobs: z.record(digestSchema, z.base64()),
})
type Kept = z.output<typeof keptSchema>

const fixture = (name: string): unknown =>
  JSON.parse(readFileSync(join(import.meta.dirname, '../../../support', name), 'utf8'))

async function opened(kept: Kept): Promise<OpenedCheckpoint> {
  const bytesOf = (text: string): Buffer => Buffer.from(text, 'base64')
  const store = memoryBlobs()
  for (const [digest, text] of Object.entries(kept.blobs)) {
    const bytes = bytesOf(text)
    const piece = {digest: digestSchema.parse(digest), sizeBytes: bytes.length, signal}
    await store.put({...piece, content: () => Readable.from([bytes])})
  }
  await store.putManifest(bytesOf(kept.manifest), 'default-web', signal)
  const keys = [ageWrapper(kept.recipient, [kept.identity])]
  return await openCheckpoint({store, digest: kept.digest, keys, trust: [kept.publicKey], signal})
}

test('what was sealed when a store had one key for all namespaces still opens', async () => {
  const checkpoint = await opened(keptSchema.parse(fixture('sealed-before-scopes.json')))
  expect(checkpoint.envelope.keyScope).toBeUndefined()
  expect((await whole(checkpoint.archive('app'))).toString()).toBe('as it was sealed before')
})

test.each(['encrypted', 'clear'] as const)('what version 1 sealed still opens: %s', async (which) => {
  const kept = z.object({encrypted: keptSchema, clear: keptSchema}).parse(fixture('sealed-version-1.json'))
  const checkpoint = await opened(kept[which])
  expect(checkpoint.envelope).toMatchObject({
    version: 1,
    encryption: which === 'clear' ? 'none' : 'aes-256-gcm',
  })
  expect((await whole(checkpoint.archive('app'))).toString()).toBe('as version 1 sealed it')
  // It does not compress, and is compressed all the same.
  const noise = Array.from({length: 94}, (_, at) => createHash('sha256').update(`noise ${at}`).digest())
  expect((await whole(checkpoint.archive('noise'))).equals(Buffer.concat(noise))).toBe(true)
})
