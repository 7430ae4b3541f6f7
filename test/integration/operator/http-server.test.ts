import {Counter, Registry} from 'prom-client'
import {connect} from 'node:net'
import {afterEach, expect, test} from 'vitest'
import {serveHttp, type HttpOptions, type HttpServer} from '../../../src/operator/http-server.ts'
import {answeringKey, askPeer, peerKeyOf} from '../../../src/operator/peer-tls.ts'

const KEY = Buffer.alloc(32, 7).toString('base64')
const state: {problem?: string; unready?: string} = {}
const opened: HttpServer[] = []

async function serve(options: Partial<HttpOptions> = {}): Promise<number> {
  const server = await serveHttp(0, {
    health: {problem: () => state.problem, unready: () => state.unready},
    registry: new Registry(),
    log: () => undefined,
    ...options,
  })
  opened.push(server)
  return server.port
}

afterEach(() => {
  for (const server of opened.splice(0)) server.close()
  delete state.problem
  delete state.unready
})

const ask = async (port: number, path: string): Promise<string> => {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`)
  return `${answer.status} ${(await answer.text()).trim()}`
}

test('what is not ready is healthy, and what is not healthy is neither', async () => {
  const port = await serve()
  expect([await ask(port, '/healthz'), await ask(port, '/readyz')]).toEqual(['200 ok', '200 ok'])
  state.unready = 'not synced'
  expect([await ask(port, '/healthz'), await ask(port, '/readyz')]).toEqual(['200 ok', '503 not synced'])
  state.problem = 'a watch is stuck'
  expect([await ask(port, '/healthz'), await ask(port, '/readyz')]).toEqual([
    '503 a watch is stuck',
    '503 a watch is stuck',
  ])
})

test('it serves what was counted, and nothing else', async () => {
  const registry = new Registry()
  new Counter({name: 'clouder_test_total', help: 'counts', registers: [registry]}).inc(3)
  const port = await serve({registry})
  expect(await ask(port, '/metrics')).toContain('clouder_test_total 3')
  expect(await ask(port, '/v1/usage')).toMatch(/^404/)
})

test('metrics that cannot be read are an answer too, and logged', async () => {
  const lines: unknown[] = []
  const registry = {contentType: 'text/plain' as const, metrics: () => Promise.reject(new Error('no figure'))}
  const port = await serve({
    registry: registry as unknown as Registry,
    log: (level, message, facts) => lines.push([level, message, facts]),
  })
  expect(await ask(port, '/metrics')).toMatch(/^500/)
  expect(lines).toEqual([['warn', 'request failed', {url: '/metrics', error: 'Error: no figure'}]])
})

test('peers are answered on the same port, by TLS, with the key only', async () => {
  const key = answeringKey(() => Promise.resolve(KEY), Date.now)
  await key.settled()
  const port = await serve({
    peers: {
      key,
      answer: (request, response) => {
        if (request.url !== '/v1/secret') return Promise.resolve(false)
        response.end('for peers')
        return Promise.resolve(true)
      },
    },
  })
  expect(await ask(port, '/v1/secret')).toMatch(/^404/)
  const at = {host: '127.0.0.1', port, signal: new AbortController().signal}
  const answer = await askPeer({...at, path: '/v1/secret', key: peerKeyOf(KEY)})
  expect((await answer.toArray()).join('')).toBe('for peers')
  const strange = peerKeyOf(Buffer.alloc(32, 8).toString('base64'))
  await expect(askPeer({...at, path: '/v1/secret', key: strange})).rejects.toThrow()
})

test('a program without peers answers no TLS', async () => {
  const port = await serve()
  const at = {host: '127.0.0.1', port, signal: new AbortController().signal}
  await expect(askPeer({...at, path: '/healthz', key: peerKeyOf(KEY)})).rejects.toThrow()
})

test('its end cuts off who is connected', async () => {
  const port = await serve()
  const socket = connect(port, '127.0.0.1')
  await new Promise((resolve) => socket.once('connect', resolve))
  // What it is asked afterwards on another connection proves that the first has arrived.
  await ask(port, '/healthz')
  const closed = new Promise((resolve) => socket.once('close', resolve))
  for (const server of opened.splice(0)) server.close()
  await closed
})
