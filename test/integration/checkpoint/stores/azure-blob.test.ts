import {randomBytes} from 'node:crypto'
import {ContainerSASPermissions} from '@azure/storage-blob'
import {afterAll, expect, test} from 'vitest'
import {hexOf} from '../../../../src/checkpoint/stores/content.ts'
import {openStore} from '../../../../src/checkpoint/stores/open.ts'
import {blobStoreContract, putBytes} from '../../../support/blob-store-contract.ts'
import {flakyStoreContract} from '../../../support/flaky-store-contract.ts'
import {flipped, provingStoreContract, sendsBlob} from '../../../support/proving-store-contract.ts'
import {startAzurite, type Azurite} from '../../../support/with-azurite.ts'

const signal = AbortSignal.timeout(290_000)
let started: Azurite | undefined

afterAll(async () => await started?.[Symbol.asyncDispose]())

/** A container of its own in the one emulator. */
async function withContainer() {
  const azurite = (started ??= await startAzurite())
  const container = azurite.client.getContainerClient(`checkpoints-${randomBytes(6).toString('hex')}`)
  await container.create()
  const azureBlob = {endpoint: azurite.endpoint, container: container.containerName, prefix: 'team/a'}
  const open = (credentials: Readonly<Record<string, string>>) =>
    openStore({azureBlob}, {nodeDir: '/nonexistent', credentials, pauseMs: 10})
  return {azurite, container, open}
}

blobStoreContract('blobs in Azure', {
  largeBytes: 64 * 2 ** 20,
  manyBlobs: 1000,
  withStore: async (_context, use) => {
    const {azurite, container, open} = await withContainer()
    await use({
      store: await open({connectionString: azurite.connectionString}),
      collects: true,
      tamper: async (digest) => {
        const blob = container.getBlockBlobClient(`team/a/blobs/sha256/${hexOf(digest)}`)
        await blob.upload('something else', 14)
      },
    })
  },
})

flakyStoreContract('Azure on a bad line', {
  withPlace: async (_context, use) => {
    const {azurite, open} = await withContainer()
    const {origin} = new URL(azurite.endpoint)
    const [, key = 'none'] = /AccountKey=([^;]+)/.exec(azurite.connectionString) ?? []
    await use({
      origin,
      open: (front) => open({connectionString: azurite.connectionString.replaceAll(origin, front)}),
      secrets: [key],
    })
  },
})

const MD5 = 'x-ms-blob-content-md5'

provingStoreContract('proofs of Azure', {
  withPlace: async (_context, use) => {
    const {azurite, container} = await withContainer()
    const {origin} = new URL(azurite.endpoint)
    const url = await container.generateSasUrl({
      permissions: ContainerSASPermissions.parse('rwdl'),
      expiresOn: new Date(Date.now() + 3_600_000),
    })
    const {containerName} = container
    const open = (front: string) => {
      const endpoint = azurite.endpoint.replace(origin, front)
      const azureBlob = {endpoint, container: containerName, prefix: 'team/a'}
      // Unlike the key of the account it signs no headers, which the front changes.
      const credentials = {sasToken: new URL(url).search}
      return openStore({azureBlob}, {nodeDir: '/nonexistent', credentials, pauseMs: 1})
    }
    await use({origin, open})
  },
  refusal: {
    status: 400,
    headers: {'content-type': 'application/xml', 'x-ms-error-code': 'Md5Mismatch'},
    body: '<Error><Code>Md5Mismatch</Code><Message>The MD5 did not match</Message></Error>',
  },
  gullible: {
    request: (request) => {
      const {[MD5]: _, ...headers} = request.headers
      return {...request, headers}
    },
  },
  storesElse: {
    request: (request) => {
      if (!sendsBlob(request)) return request
      const {[MD5]: _, ...headers} = request.headers
      return {...request, headers, body: flipped(request.body)}
    },
  },
  saysElse: {
    headers: ({method}, headers) => {
      if (method === 'HEAD' && headers.has('content-md5'))
        headers.set('content-md5', randomBytes(16).toString('base64'))
    },
  },
})

test('a signature for the container is enough for Azure', async () => {
  const {container, open} = await withContainer()
  const url = await container.generateSasUrl({
    permissions: ContainerSASPermissions.parse('rwdl'),
    expiresOn: new Date(Date.now() + 3_600_000),
  })
  const store = await open({sasToken: new URL(url).search})
  const {digest} = await putBytes(store, Buffer.from('memory'))
  expect(await store.has(digest, signal)).toBe(true)
  expect(store.location).not.toContain('sig=')
})

test('another key, another signature and a container that is not there are told, without the key', async () => {
  const {azurite, container, open} = await withContainer()
  const wrong = await open({connectionString: azurite.wrongConnectionString})
  const refusal: unknown = await putBytes(wrong, Buffer.from('x')).catch((error: unknown) => error)
  expect(refusal).toMatchObject({code: 'STORE_REFUSED'})
  const [, key = 'none'] = /AccountKey=([^;]+)/.exec(azurite.wrongConnectionString) ?? []
  expect(JSON.stringify(refusal) + String(refusal)).not.toContain(key)
  const spoilt = await open({sasToken: 'sv=2024-11-04&sr=c&sp=rwdl&sig=c2VjcmV0LXNlY3JldA%3D%3D'})
  const second: unknown = await spoilt.listManifests(signal).catch((error: unknown) => error)
  expect(second).toMatchObject({code: 'STORE_REFUSED'})
  expect(JSON.stringify(second) + String(second)).not.toContain('c2VjcmV0LXNlY3JldA')
  await container.delete()
  const gone = await open({connectionString: azurite.connectionString})
  await expect(gone.listManifests(signal)).rejects.toMatchObject({
    code: 'STORE_UNREACHABLE',
    message: expect.stringContaining(container.containerName) as string,
  })
})
