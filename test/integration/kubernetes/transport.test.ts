import {expect, test} from 'vitest'
import {openTransport, SERVER_NAME, type Identity, type Transport} from '../../../src/kubernetes/transport.ts'
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

test('a watch that is refused begins again as somebody else, once', async () => {
  const seen: (string | undefined)[] = []
  const identity = (refused?: Identity): Promise<Identity> =>
    Promise.resolve({headers: {authorization: refused === undefined ? 'old' : 'new'}})
  await withTlsServer(
    SERVER_NAME,
    ({headers, url}, response) => {
      seen.push(headers.authorization)
      if (headers.authorization === 'old' || url === '/never') response.statusCode = 401
      response.end('{}\n')
    },
    async ({port, ca}) => {
      const {signal} = new AbortController()
      const transport = openTransport({host: '127.0.0.1', port, ca, identity}, signal)
      expect((await transport.stream('/', signal)).status).toBe(200)
      expect(seen).toEqual(['old', 'new'])
      expect((await transport.stream('/never', signal)).status).toBe(401)
      expect(seen).toEqual(['old', 'new', 'old', 'new'])
      transport.close()
    },
  )
})

test('a call ends while its identity is waited for', async () => {
  const forever = new Promise<Identity>(() => undefined)
  const server = {host: '127.0.0.1', port: 1, ca: undefined, identity: () => forever}
  const transport = openTransport(server, new AbortController().signal)
  const call = new AbortController()
  const sent = transport.send({method: 'GET', path: '/', signal: call.signal})
  call.abort(new Error('enough'))
  await expect(sent).rejects.toThrow('enough')
  await expect(transport.stream('/', AbortSignal.abort(new Error('over')))).rejects.toThrow('over')
  transport.close()
})
