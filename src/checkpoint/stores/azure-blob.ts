import {createHash} from 'node:crypto'
import {Readable} from 'node:stream'
import type {BlockBlobClient, ContainerClient, StoragePipelineOptions} from '@azure/storage-blob'
import type {StoreSpec} from '../../api/resources.ts'
import {gather, PROBE} from './content.ts'
import type {ConfirmWrite, Objects, ObjectWrite, StoredObject, StoreProblem} from './objects.ts'
import {absentWhere, networkProblem, statusProblem, storeError, withoutSecrets} from './problems.ts'

type AzureSpec = NonNullable<StoreSpec['azureBlob']>

/** Sealed pieces are smaller; what is larger goes in blocks of this size, two at once. */
const BLOCK_BYTES = 8 * 2 ** 20
const TRY_TIMEOUT_MS = 120_000

/** A container of a storage account. Blocks that were never committed Azure removes after a week, by itself. */
export async function azureBlobObjects(
  spec: AzureSpec,
  credentials: Readonly<Record<string, string>> | undefined,
): Promise<Objects> {
  const url = `${spec.endpoint.replace(/\/+$/, '')}/${spec.container}`
  const folder = spec.prefix === undefined ? '' : `${spec.prefix.replace(/\/+$/, '')}/`
  const location = folder === '' ? url : `${url}/${folder.slice(0, -1)}`
  const container = await containerOf(location, {url, name: spec.container}, credentials)
  const blobOf = (key: string): BlockBlobClient => container.getBlockBlobClient(folder + key)
  return {
    location,
    stat: (key, abortSignal) =>
      unlessAbsent(async () => {
        const found = await blobOf(key).getProperties({abortSignal})
        return objectOf(key, found.contentLength, found.lastModified)
      }),
    write: (request) => write(blobOf(request.key), request),
    refusesWrongChecksum: (signal) => refusesWrongChecksum(blobOf(PROBE.key), signal),
    read: (key, fromByte, abortSignal) =>
      unlessAbsent(async () => {
        const options = {abortSignal, maxRetryRequests: 0}
        const found = await blobOf(key)
          .download(fromByte, undefined, options)
          .catch((error: unknown) => {
            if (statusOf(error) === 416) return undefined
            throw error
          })
        return found === undefined ? Readable.from([]) : bodyOf(found.readableStreamBody)
      }),
    list: async function* (prefix, abortSignal) {
      for await (const {name, properties} of container.listBlobsFlat({
        prefix: folder + prefix,
        abortSignal,
      })) {
        yield objectOf(name.slice(folder.length), properties.contentLength, properties.lastModified)
      }
    },
    remove: async (key, abortSignal) => {
      await blobOf(key).deleteIfExists({abortSignal})
    },
    touch: async (key, abortSignal) => {
      // Setting them makes it new, the same too.
      await unlessAbsent(() => blobOf(key).setMetadata({}, {abortSignal}))
    },
    removePartial: () => Promise.resolve(),
    problemOf: (error) => problemOf(error, credentials),
  }
}

async function containerOf(
  location: string,
  {url, name}: {readonly url: string; readonly name: string},
  credentials: Readonly<Record<string, string>> | undefined,
): Promise<ContainerClient> {
  const {AnonymousCredential, BlobServiceClient, ContainerClient} = await import('@azure/storage-blob')
  // Every call is tried again by whoever calls: a second policy below would multiply the attempts.
  const options: StoragePipelineOptions = {retryOptions: {maxTries: 1, tryTimeoutInMs: TRY_TIMEOUT_MS}}
  const {connectionString, sasToken, clientId} = credentials ?? {}
  if (connectionString !== undefined) {
    try {
      return BlobServiceClient.fromConnectionString(connectionString, options).getContainerClient(name)
    } catch {
      const words = 'connectionString in the Secret of the store is not a connection string'
      throw storeError(location, {kind: 'refused', words})
    }
  }
  if (sasToken !== undefined) {
    return new ContainerClient(`${url}?${sasToken.replace(/^\?/, '')}`, new AnonymousCredential(), options)
  }
  if (credentials !== undefined && clientId === undefined) {
    const words = 'the Secret of the store must contain connectionString, sasToken or clientId'
    throw storeError(location, {kind: 'refused', words})
  }
  const {DefaultAzureCredential} = await import('@azure/identity')
  const identity = clientId === undefined ? {} : {managedIdentityClientId: clientId}
  return new ContainerClient(url, new DefaultAzureCredential(identity), options)
}

async function write(blob: BlockBlobClient, request: ObjectWrite): Promise<ConfirmWrite | undefined> {
  const {sizeBytes, content, replace, signal: abortSignal} = request
  const conditions = replace ? {} : {conditions: {ifNoneMatch: '*'}}
  let checksum: Buffer | undefined
  try {
    if (sizeBytes <= BLOCK_BYTES) {
      const body = await gather(content)
      checksum = md5Of(body)
      await blob.upload(body, body.length, {...conditions, ...withMD5(checksum), abortSignal})
    } else {
      const body = Readable.from(content, {objectMode: false})
      await blob.uploadStream(body, BLOCK_BYTES, 2, {...conditions, abortSignal})
    }
  } catch (error) {
    // Another writer was first, with the same.
    if (replace || (statusOf(error) !== 409 && statusOf(error) !== 412)) throw error
  }
  // What is of several blocks has no checksum that Azure computed.
  if (checksum === undefined) return undefined
  const expected = checksum
  return async (signal) => {
    const found = await unlessAbsent(() => blob.getProperties({abortSignal: signal}))
    return found?.contentLength === sizeBytes && Buffer.from(found.contentMD5 ?? []).equals(expected)
  }
}

/**
 * The one digest that Azure computes and tells. It is to find what was changed by chance: who changes it on purpose could
 * as well tell another digest, and is found when the piece is decrypted.
 */
function md5Of(body: Uint8Array): Buffer | undefined {
  try {
    return createHash('md5').update(body).digest()
  } catch {
    // A machine in FIPS mode has none.
    return undefined
  }
}

/** For a blob of one request Azure compares it with what arrived, and keeps it. */
const withMD5 = (blobContentMD5: Buffer | undefined) =>
  blobContentMD5 === undefined ? {} : {blobHTTPHeaders: {blobContentMD5}}

async function refusesWrongChecksum(blob: BlockBlobClient, abortSignal: AbortSignal): Promise<boolean> {
  const options = {...withMD5(md5Of(Buffer.from(PROBE.wrongDigest))), abortSignal}
  try {
    await blob.upload(PROBE.content, PROBE.content.length, options)
  } catch (error) {
    if (statusOf(error) === 400) return true
    throw error
  }
  await blob.deleteIfExists({abortSignal})
  return false
}

function bodyOf(body: NodeJS.ReadableStream | undefined): AsyncIterable<Uint8Array> {
  if (body instanceof Readable) return body
  throw new TypeError('the Azure client did not return a Node.js stream')
}

const objectOf = (key: string, sizeBytes: number | undefined, modified: Date | undefined): StoredObject => ({
  key,
  sizeBytes: sizeBytes ?? 0,
  modifiedAtMs: modified?.getTime() ?? 0,
})

const unlessAbsent = absentWhere((error) => statusOf(error) === 404 && codeOf(error) !== 'ContainerNotFound')

const statusOf = (error: unknown): number | undefined =>
  error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number'
    ? error.statusCode
    : undefined

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''

function problemOf(
  error: unknown,
  credentials: Readonly<Record<string, string>> | undefined,
): StoreProblem | undefined {
  if (!(error instanceof Error)) return undefined
  // Further lines are numbers and times of the request.
  const [first = ''] = error.message.split('\n')
  const words = withoutSecrets(`${codeOf(error) || error.name}: ${first}`, credentials)
  if (/^(CredentialUnavailable|AggregateAuthentication|Authentication)Error$/.test(error.name)) {
    return {kind: 'refused', words}
  }
  const status = statusOf(error)
  if (status === 404) return {kind: 'absent', words}
  // Something was changed on the way.
  if (codeOf(error) === 'Md5Mismatch') return {kind: 'passing', words}
  if (status !== undefined && status >= 400) {
    return statusProblem(status, words) ?? {kind: 'refused', words: `${status} ${words}`}
  }
  // A try that took too long is aborted by the client; one that the caller aborted never comes here.
  if (codeOf(error) === 'REQUEST_SEND_ERROR' || error.name === 'AbortError') return {kind: 'passing', words}
  return networkProblem(error)
}
