import type {IncomingMessage, ServerResponse} from 'node:http'
import {expect, test} from 'vitest'
import {KubernetesError} from '../../../src/kubernetes/errors.ts'
import {kubeClient} from '../../../src/kubernetes/client.ts'
import {accepted} from '../../../src/kubernetes/answers.ts'
import {openTransport, SERVER_NAME} from '../../../src/kubernetes/transport.ts'
import type {KubeClient} from '../../../src/kubernetes/types.ts'
import {withTlsServer} from '../../support/with-tls-server.ts'

const REF = {apiVersion: 'v1', kind: 'ConfigMap', namespace: 'default', name: 'one'}
const OBJECT = {apiVersion: 'v1', kind: 'ConfigMap', metadata: {name: 'one', namespace: 'default'}}
const RESOURCES = {resources: [{name: 'configmaps', kind: 'ConfigMap', namespaced: true}]}
/** What an API server says while its etcd elects a leader, word for word. */
const LEADER = {kind: 'Status', code: 500, message: 'etcdserver: leader changed', details: {}}
const SLOW = {kind: 'Status', code: 429, reason: 'TooManyRequests', message: 'please try again later'}

type Play = (response: ServerResponse, request: IncomingMessage) => void
const says =
  (status: number, body: object, headers: Record<string, string> = {}): Play =>
  (response) =>
    void response.writeHead(status, headers).end(JSON.stringify(body))
const hangsUp: Play = (_, request) => void request.socket.destroy()

/** A client of a server that plays its answers one after the other, the last one for ever; which calls it got. */
async function against(
  plays: readonly Play[],
  use: (kube: KubeClient) => Promise<void>,
  readyz: number[] = [],
): Promise<string[]> {
  const seen: string[] = []
  await withTlsServer(
    SERVER_NAME,
    (request, response) => {
      if (request.url === '/api/v1') {
        says(200, RESOURCES)(response, request)
        return
      }
      if (request.url === '/readyz') {
        says(readyz.shift() ?? 200, {})(response, request)
        return
      }
      const play = plays[Math.min(seen.length, plays.length - 1)]
      seen.push(request.method ?? '')
      return request.resume().on('end', () => play?.(response, request))
    },
    async ({port, ca}) => {
      const over = new AbortController()
      const kube = kubeClient(openTransport({host: '127.0.0.1', port, ca}, over.signal))
      await use(kube)
      over.abort()
      kube.close()
    },
  )
  return seen
}

test.for([
  ['a full server', says(429, SLOW, {'retry-after': '0'})],
  ['an etcd that elects its leader', says(500, LEADER)],
  ['a server that is going down', says(503, {})],
  ['a gateway', says(502, {})],
  ['a connection that breaks', hangsUp],
] as const)('a call that %s does not accept is repeated until it is', async ([, play]) => {
  const seen = await against([play, play, says(200, OBJECT)], async (kube) => {
    expect(await kube.patch(REF, {status: {phase: 'Ready'}}, {subresource: 'status'})).toMatchObject(OBJECT)
  })
  expect(seen).toEqual(['PATCH', 'PATCH', 'PATCH'])
})

test('a server that asks for more time than there is is unavailable, which refuses nothing', async () => {
  const seen = await against([says(503, SLOW, {'retry-after': '3600'})], async (kube) => {
    const error: unknown = await kube.get(REF).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(KubernetesError)
    expect(error).toMatchObject({code: 'API_UNAVAILABLE', isTransient: true, answer: {status: 503}})
  })
  expect(seen).toEqual(['GET'])
})

const FORBIDDEN = {kind: 'Status', reason: 'Forbidden', message: 'cannot get resource "configmaps"'}

test.for([
  [403, [500, 500]],
  [403, [403, 500]],
  [403, [403, 403]],
  [401, [503, 500]],
] as const)('a %i of a server whose /readyz answers %j is repeated', async ([status, readyz]) => {
  const refusal = says(status, FORBIDDEN)
  const seen = await against(
    [refusal, refusal, says(200, OBJECT)],
    async (kube) => {
      expect(await kube.get(REF)).toMatchObject(OBJECT)
    },
    [...readyz],
  )
  expect(seen).toEqual(['GET', 'GET', 'GET'])
})

test.for([
  [403, 200],
  [401, 200],
  [401, 401],
  [403, 404],
] as const)('a %i of a server whose /readyz answers %i is told at once', async ([status, readyz]) => {
  const seen = await against(
    [says(status, FORBIDDEN)],
    async (kube) => {
      await expect(kube.get(REF)).rejects.toMatchObject({code: 'API_REJECTED', answer: {status}})
    },
    [readyz],
  )
  expect(seen).toEqual(['GET'])
})

test('who was never served, and may not read /readyz either, is refused at once', async () => {
  const refusing = (request: IncomingMessage, response: ServerResponse) =>
    says(403, FORBIDDEN)(response, request)
  await withTlsServer(SERVER_NAME, refusing, async ({port, ca}) => {
    const over = new AbortController()
    const kube = kubeClient(openTransport({host: '127.0.0.1', port, ca}, over.signal))
    await expect(kube.get(REF)).rejects.toMatchObject({code: 'API_REJECTED', answer: {status: 403}})
    over.abort()
    kube.close()
  })
})

test('a creation that a starting server refuses is one that may be accepted later', async () => {
  const seen = await against(
    [says(403, FORBIDDEN)],
    async (kube) => {
      const answer = await kube.post('/api/v1/namespaces/default/configmaps', '{}')
      expect(answer).toMatchObject({status: 403, isStarting: true})
      expect(() => accepted(answer, 'create one')).toThrow(
        expect.objectContaining({code: 'API_UNAVAILABLE', isTransient: true}),
      )
    },
    [500],
  )
  expect(seen).toEqual(['POST'])
})

test('a refusal is told at once, with what the server says of it', async () => {
  const details = {name: 'one', causes: [{reason: 'FieldValueInvalid', field: 'data'}]}
  const status = {kind: 'Status', reason: 'Invalid', message: 'data: too long', details}
  const seen = await against([says(422, status)], async (kube) => {
    await expect(kube.patch(REF, {})).rejects.toMatchObject({
      code: 'API_REJECTED',
      isTransient: false,
      answer: {status: 422, reason: 'Invalid', details},
      message: 'cannot patch ConfigMap default/one: 422 data: too long',
    })
  })
  expect(seen).toEqual(['PATCH'])
})

test('somebody who was quicker is neither a refusal nor asked again', async () => {
  const seen = await against([says(409, {reason: 'Conflict', message: 'modified'})], async (kube) => {
    await expect(kube.patch(REF, {})).rejects.toMatchObject({code: 'API_CONFLICT', isTransient: true})
  })
  expect(seen).toEqual(['PATCH'])
})

test('a POST is repeated only where the server did nothing', async () => {
  const unknown = await against([says(500, LEADER)], async (kube) => {
    await expect(kube.create(OBJECT)).rejects.toMatchObject({code: 'API_UNAVAILABLE'})
  })
  expect(unknown).toEqual(['POST'])
  const unheard = await against([hangsUp, says(201, OBJECT)], async (kube) => {
    await expect(kube.create(OBJECT)).rejects.toMatchObject({code: 'API_UNREACHABLE'})
  })
  expect(unheard).toEqual(['POST'])
  const full = await against([says(429, SLOW), says(201, OBJECT)], async (kube) => {
    expect(await kube.create(OBJECT)).toMatchObject(OBJECT)
  })
  expect(full).toEqual(['POST', 'POST'])
})

test('what is there is not taken for different while the server cannot compare', async () => {
  const once = says(200, OBJECT)
  await against([once, says(503, SLOW, {'retry-after': '3600'})], async (kube) => {
    await expect(kube.diff([OBJECT])).rejects.toMatchObject({code: 'API_UNAVAILABLE'})
  })
})
