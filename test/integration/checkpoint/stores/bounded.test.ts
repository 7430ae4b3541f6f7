import {createServer, type IncomingMessage, type ServerResponse} from 'node:http'
import {expect, test} from 'vitest'
import {z} from 'zod'
import type {BlobStore} from '../../../../src/checkpoint/stores/blob-store.ts'
import {digestOf, MAX_MANIFEST_BYTES} from '../../../../src/checkpoint/stores/content.ts'
import {objectStore} from '../../../../src/checkpoint/stores/object-store.ts'
import {registryObjects} from '../../../../src/checkpoint/stores/registry.ts'

const signal = AbortSignal.timeout(30_000)
const WANTED = digestOf(Buffer.from('a manifest'))
const MIB = Buffer.alloc(2 ** 20, ' ')
const addressSchema = z.looseObject({port: z.int()})

/** A registry that answers as it likes; `sentBytes`: of answers that do not end by themselves. */
async function withRegistry(
  answer: (request: IncomingMessage, response: ServerResponse, endless: () => void) => void,
  use: (store: BlobStore, sent: () => number) => Promise<void>,
): Promise<void> {
  let sentBytes = 0
  const server = createServer((request, response) => {
    const endless = (): void => {
      const more = (): void => {
        while (!response.destroyed) {
          sentBytes += MIB.length
          if (!response.write(MIB)) return
        }
      }
      response.on('drain', more)
      more()
    }
    answer(request, response, endless)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const {port} = addressSchema.parse(server.address())
  const objects = registryObjects(
    {repository: `127.0.0.1:${port}/team/checkpoints`, insecure: true},
    undefined,
  )
  try {
    await use(objectStore(objects, {pauseMs: 1}), () => sentBytes)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

test('a manifest without an end is not read to it', async () => {
  await withRegistry(
    (request, response, endless) => (request.method === 'HEAD' ? response.end() : endless()),
    async (store, sent) => {
      await expect(store.getManifest(WANTED, signal)).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
      expect(sent()).toBeLessThan(2 * MAX_MANIFEST_BYTES)
    },
  )
})

test('nor an answer of the token server, of whatever status', async () => {
  for (const status of [200, 403]) {
    await withRegistry(
      (request, response, endless) => {
        if (request.url?.startsWith('/token') === true) {
          response.writeHead(status)
          endless()
          return
        }
        const realm = `http://${request.headers.host ?? ''}/token`
        response.writeHead(401, {'www-authenticate': `Bearer realm="${realm}",service="s"`}).end()
      },
      async (store, sent) => {
        await expect(store.has(WANTED, signal)).rejects.toMatchObject({code: 'STORE_REFUSED'})
        expect(sent()).toBeLessThan(2 ** 24)
      },
    )
  }
})

test('nor a page of tags, nor a list of pages that leads back to itself', async () => {
  await withRegistry(
    (_request, _response, endless) => endless(),
    async (store, sent) => {
      await expect(store.listManifests(signal)).rejects.toMatchObject({code: 'STORE_REFUSED'})
      expect(sent()).toBeLessThan(2 ** 24)
    },
  )
  await withRegistry(
    (request, response) =>
      response.writeHead(200, {link: `<${request.url ?? ''}>; rel="next"`}).end('{"tags":[]}'),
    async (store) => {
      await expect(store.listManifests(signal)).rejects.toMatchObject({code: 'STORE_REFUSED'})
    },
  )
})
