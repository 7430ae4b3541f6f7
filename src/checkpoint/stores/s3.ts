import {Readable} from 'node:stream'
import type * as S3Package from '@aws-sdk/client-s3'
import type {GetObjectCommandOutput, PutObjectCommandInput, S3Client} from '@aws-sdk/client-s3'
import type {StoreSpec} from '../../api/resources.ts'
import {base64Of, gather, PROBE} from './content.ts'
import type {ConfirmWrite, Objects, ObjectWrite, StoredObject, StoreProblem} from './objects.ts'
import {absentWhere, networkProblem, statusProblem, storeError, withoutSecrets} from './problems.ts'

type S3 = typeof S3Package
type S3Spec = NonNullable<StoreSpec['s3']>

/** Sealed pieces are smaller; what is larger goes in parts of this size, two at once. */
const PART_BYTES = 8 * 2 ** 20
const CONNECT_TIMEOUT_MS = 10_000
const SILENCE_TIMEOUT_MS = 60_000

interface Bucket {
  readonly s3: S3
  readonly client: S3Client
  readonly name: string
  readonly keyOf: (key: string) => string
  /** False once the place has said that it does not know conditional writes. */
  conditional: boolean
  /** Whether that was seen. */
  isThere: boolean
}

/** A bucket, at AWS or anywhere that speaks its protocol. */
export async function s3Objects(
  spec: S3Spec,
  credentials: Readonly<Record<string, string>> | undefined,
): Promise<Objects> {
  const s3 = await import('@aws-sdk/client-s3')
  const folder = spec.prefix === undefined ? '' : `${spec.prefix.replace(/\/+$/, '')}/`
  const location = `s3://${spec.bucket}${folder === '' ? '' : `/${folder.slice(0, -1)}`}`
  const client = new s3.S3Client({
    region: spec.region,
    ...(spec.endpoint === undefined ? {} : {endpoint: spec.endpoint}),
    ...(spec.forcePathStyle === undefined ? {} : {forcePathStyle: spec.forcePathStyle}),
    ...accessOf(location, credentials),
    // Every call is tried again by whoever calls: a second policy below would multiply the attempts.
    maxAttempts: 1,
    // Others than AWS know only what they must; what is put here has its checksum all the same.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {connectionTimeout: CONNECT_TIMEOUT_MS, socketTimeout: SILENCE_TIMEOUT_MS},
  })
  const keyOf = (key: string): string => folder + key
  const bucket: Bucket = {s3, client, name: spec.bucket, keyOf, conditional: true, isThere: false}
  const at = (key: string) => ({Bucket: spec.bucket, Key: folder + key})
  return {
    location,
    stat: (key, signal) =>
      unlessAbsent(async () => {
        const command = new s3.HeadObjectCommand(at(key))
        const found = await client.send(command, {abortSignal: signal}).catch(async (error: unknown) => {
          // The answer to HEAD does not say what is absent.
          if (statusOf(error) === 404) await assertBucket(bucket, signal)
          throw error
        })
        return objectOf(key, found.ContentLength, found.LastModified)
      }),
    write: (request) => write(bucket, request),
    refusesWrongChecksum: (signal) => refusesWrongChecksum(bucket, signal),
    read: (key, fromByte, signal) =>
      unlessAbsent(async () => {
        const range = fromByte === 0 ? {} : {Range: `bytes=${fromByte}-`}
        const command = new s3.GetObjectCommand({...at(key), ...range})
        const found = await client.send(command, {abortSignal: signal}).catch((error: unknown) => {
          if (statusOf(error) === 416) return undefined
          throw error
        })
        return bodyOf(found)
      }),
    list: (prefix, signal) => list(bucket, prefix, signal),
    remove: async (key, signal) => {
      await client.send(new s3.DeleteObjectCommand(at(key)), {abortSignal: signal})
    },
    touch: async (key, signal) => {
      const CopySource = `${spec.bucket}/${encodeURIComponent(folder + key)}`
      const command = new s3.CopyObjectCommand({...at(key), CopySource, MetadataDirective: 'REPLACE'})
      await unlessAbsent(() => client.send(command, {abortSignal: signal}))
    },
    removePartial: (beforeMs, signal) => removePartial(bucket, beforeMs, signal),
    problemOf: (error) => problemOf(error, credentials),
  }
}

/** Throws what says that there is no such bucket; asked once. */
async function assertBucket(bucket: Bucket, signal: AbortSignal): Promise<void> {
  if (bucket.isThere) return
  const {s3, client, name} = bucket
  await client
    .send(new s3.HeadBucketCommand({Bucket: name}), {abortSignal: signal})
    .catch((error: unknown) => {
      if (statusOf(error) !== 404) throw error
      const metadata = {httpStatusCode: 404}
      throw new s3.NoSuchBucket({message: 'The specified bucket does not exist', $metadata: metadata})
    })
  bucket.isThere = true
}

function accessOf(location: string, credentials: Readonly<Record<string, string>> | undefined) {
  if (credentials === undefined) return {}
  const {accessKeyId, secretAccessKey, sessionToken} = credentials
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    const words = 'the Secret of the store must contain accessKeyId and secretAccessKey'
    throw storeError(location, {kind: 'refused', words})
  }
  const session = sessionToken === undefined ? {} : {sessionToken}
  return {credentials: {accessKeyId, secretAccessKey, ...session}}
}

/** Only one of several writers of the same wins where the place knows how; what it wrote is what the others would have. */
async function write(bucket: Bucket, request: ObjectWrite): Promise<ConfirmWrite | undefined> {
  const {s3, client, name, keyOf} = bucket
  const {key, digest, sizeBytes, content, replace, signal} = request
  const only = bucket.conditional && !replace
  const inParts = sizeBytes > PART_BYTES
  const target: PutObjectCommandInput = {
    Bucket: name,
    Key: keyOf(key),
    ChecksumAlgorithm: 'SHA256',
    ...(only ? {IfNoneMatch: '*'} : {}),
  }
  try {
    if (inParts) await writeParts(bucket, target, content, signal)
    else {
      const Body = await gather(content)
      const command = new s3.PutObjectCommand({...target, Body, ChecksumSHA256: base64Of(digest)})
      await client.send(command, {abortSignal: signal})
    }
  } catch (error) {
    if (only && statusOf(error) === 501) bucket.conditional = false
    if (!only || statusOf(error) !== 412) throw error
  }
  // Of parts S3 knows a digest of their digests.
  return inParts ? undefined : (either) => hasChecksum(bucket, request, either)
}

async function hasChecksum(
  {s3, client, name, keyOf}: Bucket,
  {key, digest, sizeBytes}: ObjectWrite,
  signal: AbortSignal,
): Promise<boolean> {
  const command = new s3.HeadObjectCommand({Bucket: name, Key: keyOf(key), ChecksumMode: 'ENABLED'})
  const found = await unlessAbsent(() => client.send(command, {abortSignal: signal}))
  return found?.ContentLength === sizeBytes && found.ChecksumSHA256 === base64Of(digest)
}

/** Some compatible services know no checksums, and some keep what they are told. */
async function refusesWrongChecksum(
  {s3, client, name, keyOf}: Bucket,
  signal: AbortSignal,
): Promise<boolean> {
  const target = {Bucket: name, Key: keyOf(PROBE.key)}
  const checksum = {ChecksumAlgorithm: 'SHA256', ChecksumSHA256: base64Of(PROBE.wrongDigest)} as const
  const command = new s3.PutObjectCommand({...target, ...checksum, Body: PROBE.content})
  try {
    await client.send(command, {abortSignal: signal})
  } catch (error) {
    if (statusOf(error) === 400) return true
    throw error
  }
  await client.send(new s3.DeleteObjectCommand(target), {abortSignal: signal})
  return false
}

/** An upload that fails is aborted, and awaited: what is left all the same, by a kill, goes with a collection. */
async function writeParts(
  {client}: Bucket,
  target: PutObjectCommandInput,
  content: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const {Upload} = await import('@aws-sdk/lib-storage')
  const params = {...target, Body: Readable.from(untilAborted(content, signal), {objectMode: false})}
  // Its own abort would not wait for what is under way, and leave that behind.
  await new Upload({client, params, partSize: PART_BYTES, queueSize: 2}).done()
}

async function* untilAborted(
  content: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for await (const piece of content) {
    signal.throwIfAborted()
    yield piece
  }
  signal.throwIfAborted()
}

async function* list(bucket: Bucket, prefix: string, signal: AbortSignal): AsyncGenerator<StoredObject> {
  const {s3, client, name, keyOf} = bucket
  const cut = keyOf('').length
  for (let token: string | undefined; ;) {
    const command = new s3.ListObjectsV2Command({
      Bucket: name,
      Prefix: keyOf(prefix),
      ...(token === undefined ? {} : {ContinuationToken: token}),
    })
    const page = await client.send(command, {abortSignal: signal})
    for (const {Key = '', Size, LastModified} of page.Contents ?? []) {
      yield objectOf(Key.slice(cut), Size, LastModified)
    }
    token = page.NextContinuationToken
    if (token === undefined) return
  }
}

async function removePartial(bucket: Bucket, beforeMs: number, signal: AbortSignal): Promise<void> {
  const {s3, client, name, keyOf} = bucket
  const where = {Bucket: name, Prefix: keyOf('')}
  const page = await client.send(new s3.ListMultipartUploadsCommand(where), {abortSignal: signal})
  for (const {Key, UploadId, Initiated} of page.Uploads ?? []) {
    if ((Initiated?.getTime() ?? Number.POSITIVE_INFINITY) >= beforeMs) continue
    const command = new s3.AbortMultipartUploadCommand({Bucket: name, Key, UploadId})
    await unlessAbsent(() => client.send(command, {abortSignal: signal}))
  }
}

const objectOf = (key: string, sizeBytes: number | undefined, modified: Date | undefined): StoredObject => ({
  key,
  sizeBytes: sizeBytes ?? 0,
  modifiedAtMs: modified?.getTime() ?? 0,
})

/** Undefined: there is nothing from that byte on. */
function bodyOf(found: GetObjectCommandOutput | undefined): AsyncIterable<Uint8Array> {
  if (found === undefined) return Readable.from([])
  if (found.Body instanceof Readable) return found.Body
  throw new TypeError('the S3 client did not return a Node.js stream')
}

const unlessAbsent = absentWhere((error) => statusOf(error) === 404 && nameOf(error) !== 'NoSuchBucket')

const nameOf = (error: unknown): string => (error instanceof Error ? error.name : '')

function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined
  const {$metadata: metadata} = error
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return undefined
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : undefined
}

function problemOf(
  error: unknown,
  credentials: Readonly<Record<string, string>> | undefined,
): StoreProblem | undefined {
  if (!(error instanceof Error)) return undefined
  const status = statusOf(error)
  // The answer to HEAD has no words.
  const said =
    error.message === 'UnknownError' ? 'no error message in the response' : `${error.name}: ${error.message}`
  const words = withoutSecrets(said, credentials)
  if (error.name === 'TimeoutError') return {kind: 'passing', words}
  if (error.name === 'CredentialsProviderError') return {kind: 'refused', words}
  // Having seen the answer, the client signs with the right time.
  if (error.name === 'RequestTimeTooSkewed') return {kind: 'passing', words}
  if (status === 404 || status === 301) return {kind: 'absent', words}
  // Something was changed on the way.
  if (error.name === 'BadDigest' || error.name === 'XAmzContentChecksumMismatch')
    return {kind: 'passing', words}
  // Two conditional writes at once; a write that must be made without its condition.
  if (status === 409 || status === 501) return {kind: 'passing', words}
  if (status !== undefined && status >= 400) {
    return statusProblem(status, words) ?? {kind: 'refused', words: `${status} ${words}`}
  }
  return networkProblem(error)
}
