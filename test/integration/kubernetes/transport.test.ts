import {expect, test} from 'vitest'
import {openTransport, SERVER_NAME, type Transport} from '../../../src/kubernetes/transport.ts'
import {withTlsServer} from '../../support/with-tls-server.ts'

/** A server that answers once on each connection, and closes it when it is asked again; what it read is given. */
async function withForgetful(use: (transport: Transport) => Promise<void>): Promise<readonly string[]> {
  const seen: string[] = []
  const known = new WeakSet<object>()
  await withTlsServer(
    SERVER_NAME,
    (request, response) => {
      const again = known.has(request.socket)
      known.add(request.socket)
      seen.push(`${request.method ?? ''} ${again ? 'again' : 'first'}`)
      if (again) request.socket.destroy()
      else response.end('ok')
    },
    async ({port, ca}) => {
      const transport = openTransport({host: '127.0.0.1', port, ca}, new AbortController().signal)
      try {
        await use(transport)
      } finally {
        transport.close()
      }
    },
  )
  return seen
}

test('a question on a connection that was closed meanwhile is asked on a new one', async () => {
  const seen = await withForgetful(async (transport) => {
    for (let count = 0; count < 2; count += 1)
      expect(await transport.send({method: 'GET', path: '/'})).toEqual({status: 200, body: 'ok'})
  })
  expect(seen).toEqual(['GET first', 'GET again', 'GET first'])
})

test('a change is not: whether it was made is not known', async () => {
  const seen = await withForgetful(async (transport) => {
    await transport.send({method: 'GET', path: '/'})
    await expect(transport.send({method: 'POST', path: '/', body: '{}'})).rejects.toMatchObject({
      code: 'API_UNREACHABLE',
    })
  })
  expect(seen).toEqual(['GET first', 'POST again'])
})

test('a server that closes every connection is not asked for ever', async () => {
  await withTlsServer(
    SERVER_NAME,
    (request) => void request.socket.destroy(),
    async ({port, ca}) => {
      const transport = openTransport({host: '127.0.0.1', port, ca}, new AbortController().signal)
      await expect(transport.send({method: 'GET', path: '/'})).rejects.toMatchObject({
        code: 'API_UNREACHABLE',
      })
      transport.close()
    },
  )
})
