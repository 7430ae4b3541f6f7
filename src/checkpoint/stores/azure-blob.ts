import {Readable} from 'node:stream'
import type {BlockBlobClient, ContainerClient, StoragePipelineOptions} from '@azure/storage-blob'
import type {StoreSpec} from '../../api/resources.ts'
import {gather} from './content.ts'
import type {Objects, ObjectWrite, StoredObject, StoreProblem} from './objects.ts'
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

async function write(blob: BlockBlobClient, request: ObjectWrite): Promise<void> {
  const {sizeBytes, content, replace, signal: abortSignal} = request
  const conditions = replace ? {} : {conditions: {ifNoneMatch: '*'}}
  try {
    if (sizeBytes <= BLOCK_BYTES) {
      const body = await gather(content)
      await blob.upload(body, body.length, {...conditions, abortSignal})
    } else {
      const body = Readable.from(content, {objectMode: false})
      await blob.uploadStream(body, BLOCK_BYTES, 2, {...conditions, abortSignal})
    }
  } catch (error) {
    // Another writer was first, with the same.
    if (!replace && (statusOf(error) === 409 || statusOf(error) === 412)) return
    throw error
  }
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
  if (status !== undefined && status >= 400) {
    return statusProblem(status, words) ?? {kind: 'refused', words: `${status} ${words}`}
  }
  // A try that took too long is aborted by the client; one that the caller aborted never comes here.
  if (codeOf(error) === 'REQUEST_SEND_ERROR' || error.name === 'AbortError') return {kind: 'passing', words}
  return networkProblem(error)
}
