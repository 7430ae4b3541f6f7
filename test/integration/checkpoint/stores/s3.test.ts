import {randomBytes} from 'node:crypto'
import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import {afterAll, expect, test, type TestContext} from 'vitest'
import {base64Of, digestOf, hexOf} from '../../../../src/checkpoint/stores/content.ts'
import {openStore} from '../../../../src/checkpoint/stores/open.ts'
import {blobStoreContract, putBytes} from '../../../support/blob-store-contract.ts'
import {flakyStoreContract} from '../../../support/flaky-store-contract.ts'
import {needMoto, type Moto} from '../../../support/moto.ts'
import {flipped, provingStoreContract, sendsBlob} from '../../../support/proving-store-contract.ts'
import type {GivenAnswer, HeldRequest} from '../../../support/lying-front.ts'

const signal = AbortSignal.timeout(290_000)
const LOGIN = {accessKeyId: 'testing', secretAccessKey: 'testing-secret'}
const REGION = 'eu-central-1'
let started: Moto | undefined

afterAll(async () => await started?.[Symbol.asyncDispose]())

/** A bucket of its own in the one emulator. */
async function withBucket(context: TestContext) {
  started ??= await needMoto(context)
  const endpoint = started.url
  const client = new S3Client({region: REGION, endpoint, forcePathStyle: true, credentials: LOGIN})
  const bucket = `checkpoints-${randomBytes(6).toString('hex')}`
  await client.send(
    new CreateBucketCommand({Bucket: bucket, CreateBucketConfiguration: {LocationConstraint: REGION}}),
  )
  const s3 = {bucket, region: REGION, prefix: 'team/a', endpoint, forcePathStyle: true}
  const store = await openStore({s3}, {nodeDir: '/nonexistent', credentials: LOGIN, pauseMs: 10})
  return {client, s3, store}
}

blobStoreContract('blobs in S3', {
  largeBytes: 64 * 2 ** 20,
  manyBlobs: 1000,
  withStore: async (context, use) => {
    const {client, s3, store} = await withBucket(context)
    await use({
      store,
      collects: true,
      tamper: async (digest) => {
        const Key = `team/a/blobs/sha256/${hexOf(digest)}`
        await client.send(new PutObjectCommand({Bucket: s3.bucket, Key, Body: 'something else'}))
      },
    })
  },
})

flakyStoreContract('S3 on a bad line', {
  withPlace: async (context, use) => {
    const {s3} = await withBucket(context)
    const open = (endpoint: string) =>
      openStore({s3: {...s3, endpoint}}, {nodeDir: '/nonexistent', credentials: LOGIN, pauseMs: 1})
    await use({origin: s3.endpoint, open, secrets: [LOGIN.secretAccessKey]})
  },
})

const CHECKSUM = 'x-amz-checksum-sha256'

const REFUSAL: GivenAnswer = {
  status: 400,
  headers: {'content-type': 'application/xml'},
  body: '<Error><Code>BadDigest</Code><Message>The SHA256 did not match</Message></Error>',
}

/** As S3 itself does; the emulator keeps what it is told. */
function refusal({method, headers, body}: HeldRequest): GivenAnswer | undefined {
  const told = headers[CHECKSUM]
  if (method !== 'PUT' || told === undefined || told === base64Of(digestOf(body))) return undefined
  return REFUSAL
}

provingStoreContract('proofs of S3', {
  withPlace: async (context, use) => {
    const {s3} = await withBucket(context)
    const open = (endpoint: string) =>
      openStore({s3: {...s3, endpoint}}, {nodeDir: '/nonexistent', credentials: LOGIN, pauseMs: 1})
    await use({origin: s3.endpoint, open})
  },
  honest: {answer: refusal},
  refusal: REFUSAL,
  gullible: {},
  storesElse: {
    answer: refusal,
    request: (request) => {
      if (!sendsBlob(request)) return request
      // What it says afterwards is of what it has.
      const {[CHECKSUM]: _, ...headers} = request.headers
      return {...request, headers, body: flipped(request.body)}
    },
  },
  saysElse: {
    answer: refusal,
    headers: ({method}, headers) => {
      if (method === 'HEAD' && headers.has(CHECKSUM))
        headers.set(CHECKSUM, base64Of(digestOf(randomBytes(8))))
    },
  },
})

test('a large put to S3 that is aborted leaves no parts that cost', async (context) => {
  const {client, s3, store} = await withBucket(context)
  const piece = randomBytes(1 << 20)
  const stop = new AbortController()
  const content = async function* () {
    for (let index = 0; index < 40; index += 1) {
      if (index === 35) stop.abort(new Error('enough'))
      yield await Promise.resolve(piece)
    }
  }
  const digest = digestOf(Buffer.concat(Array.from({length: 40}, () => piece)))
  const put = store.put({digest, sizeBytes: 40 << 20, content, signal: stop.signal})
  await expect(put).rejects.toThrow('enough')
  expect(await store.has(digest, signal)).toBe(false)
  const left = await client.send(new ListMultipartUploadsCommand({Bucket: s3.bucket}))
  expect(left.Uploads ?? []).toEqual([])
})

test('parts that a killed writer left in S3 are collected when they are old', async (context) => {
  const {client, s3, store} = await withBucket(context)
  const left = {Bucket: s3.bucket, Key: `team/a/blobs/sha256/${'0'.repeat(64)}`}
  await client.send(new CreateMultipartUploadCommand(left))
  const uploads = async () =>
    (await client.send(new ListMultipartUploadsCommand({Bucket: s3.bucket}))).Uploads ?? []
  await store.collect({graceMs: 86_400_000, dryRun: true, signal})
  const [found] = await uploads()
  // The emulator has every upload begin long ago.
  expect(found?.Initiated?.getFullYear()).toBeLessThan(2020)
  await store.collect({graceMs: 30 * 365 * 86_400_000, dryRun: false, signal})
  expect(await uploads()).toHaveLength(1)
  await store.collect({graceMs: 86_400_000, dryRun: false, signal})
  expect(await uploads()).toEqual([])
})

test('a bucket that is not there is named, without credentials', async (context) => {
  const {s3} = await withBucket(context)
  const spec = {s3: {...s3, bucket: 'nobodys-bucket'}}
  const store = await openStore(spec, {nodeDir: '/nonexistent', credentials: LOGIN, pauseMs: 1})
  const refusal: unknown = await store.listManifests(signal).catch((error: unknown) => error)
  expect(refusal).toMatchObject({
    code: 'STORE_UNREACHABLE',
    message: expect.stringContaining('s3://nobodys-bucket/team/a') as string,
  })
  expect(String(refusal)).not.toContain(LOGIN.secretAccessKey)
  await expect(putBytes(store, Buffer.from('x'))).rejects.toMatchObject({code: 'STORE_UNREACHABLE'})
  const absent = digestOf(Buffer.from('x'))
  await expect(store.has(absent, signal)).rejects.toMatchObject({code: 'STORE_UNREACHABLE'})
})

test('credentials that S3 does not know are refused, and not told', async (context) => {
  // It lets in the first call, which makes the bucket, and knows nobody from then on.
  await using strict = await needMoto(context, {environment: {INITIAL_NO_AUTH_ACTION_COUNT: '1'}})
  await fetch(`${strict.url}/checkpoints`, {method: 'PUT'})
  const s3 = {bucket: 'checkpoints', region: REGION, endpoint: strict.url, forcePathStyle: true}
  const store = await openStore({s3}, {nodeDir: '/nonexistent', credentials: LOGIN, pauseMs: 1})
  for (const call of [() => store.listManifests(signal), () => putBytes(store, Buffer.from('x'))]) {
    const refusal: unknown = await call().catch((error: unknown) => error)
    expect(refusal).toMatchObject({
      code: 'STORE_REFUSED',
      message: expect.stringContaining('s3://checkpoints') as string,
    })
    expect(String(refusal)).not.toContain(LOGIN.secretAccessKey)
  }
})

test('a Secret without the keys of S3 is refused before anything is sent', async () => {
  const s3 = {bucket: 'b', region: REGION}
  const opening = openStore({s3}, {nodeDir: '/nonexistent', credentials: {username: 'x'}})
  await expect(opening).rejects.toMatchObject({code: 'STORE_REFUSED'})
})
