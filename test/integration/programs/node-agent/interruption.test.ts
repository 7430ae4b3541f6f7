import {createServer, type IncomingMessage, type ServerResponse} from 'node:http'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {findMetadata, watchInterruptions} from '../../../../src/programs/node-agent/interruption.ts'
import {FakeNode, NODE} from '../../../support/fake-node.ts'

const addressSchema = z.looseObject({port: z.int()})

/** A metadata service; gives its address to `use`. */
async function withMetadata(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  use: (url: string) => Promise<void>,
): Promise<void> {
  const server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    await use(`http://127.0.0.1:${addressSchema.parse(server.address()).port}`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

/** AWS, version 2: nothing without a token of a session. */
const aws =
  (told: Readonly<Record<string, string>>) =>
  (request: IncomingMessage, response: ServerResponse): void => {
    const {url = '', method, headers} = request
    if (url === '/latest/api/token' && method === 'PUT') return void response.end('a-token')
    if (headers['x-aws-ec2-metadata-token'] !== 'a-token') return void response.writeHead(401).end()
    const text = told[url.replace('/latest/meta-data/', '')]
    if (text === undefined) response.writeHead(404).end()
    else response.end(text)
  }

const azure =
  (events: readonly unknown[]) =>
  (request: IncomingMessage, response: ServerResponse): void => {
    if (
      request.headers['metadata'] !== 'true' ||
      request.url?.startsWith('/metadata/scheduledevents') !== true
    )
      response.writeHead(400).end()
    else response.end(JSON.stringify({DocumentIncarnation: 1, Events: events}))
  }

const {signal} = new AbortController()

test('AWS tells the end of a spot machine and advice to move, and nothing when there is nothing', async () => {
  const action = JSON.stringify({action: 'terminate', time: '2026-11-21T09:02:00Z'})
  const rebalance = JSON.stringify({noticeTime: '2026-11-21T09:00:00Z'})
  await withMetadata(
    aws({'spot/instance-action': action, 'events/recommendations/rebalance': rebalance}),
    async (url) => {
      const metadata = await findMetadata(url, NODE, signal)
      expect(metadata?.cloud).toBe('aws')
      expect(await metadata?.notices(signal)).toEqual([
        {id: '2026-11-21T09:02:00Z', kind: 'terminate'},
        {id: rebalance, kind: 'rebalance'},
      ])
    },
  )
  await withMetadata(aws({}), async (url) => {
    expect(await (await findMetadata(url, NODE, signal))?.notices(signal)).toEqual([])
  })
})

test('Azure tells events of this machine; those of others, and reboots, are nothing', async () => {
  const events = [
    {EventId: '1', EventType: 'Preempt', Resources: [NODE]},
    {EventId: '2', EventType: 'Preempt', Resources: ['another']},
    {EventId: '3', EventType: 'Reboot', Resources: [NODE]},
  ]
  await withMetadata(azure(events), async (url) => {
    const metadata = await findMetadata(url, NODE, signal)
    expect(metadata?.cloud).toBe('azure')
    expect(await metadata?.notices(signal)).toEqual([{id: '1', kind: 'terminate'}])
  })
})

test('where neither cloud answers there is no metadata', async () => {
  await withMetadata(
    (_, response) => void response.writeHead(500).end(),
    async (url) => {
      expect(await findMetadata(url, NODE, signal)).toBeUndefined()
    },
  )
})

test('a notice is reported on the own node, and taken back when it is over', async () => {
  const node = new FakeNode('/unused')
  const annotations = {'clouder.dev/interruption': '[{"id":"of an agent before","kind":"terminate"}]'}
  node.kube.put({apiVersion: 'v1', kind: 'Node', metadata: {name: NODE, annotations}})
  const reported = () =>
    node.kube.peek('v1', 'Node')[0]?.metadata.annotations?.['clouder.dev/interruption'] ?? 'nothing'
  const told: Record<string, string> = {}
  await withMetadata(aws(told), async (metadataUrl) => {
    const ended = new AbortController()
    const watching = watchInterruptions({
      node: NODE,
      kube: node.kube,
      metadataUrl,
      log: () => undefined,
      everyMs: 10,
      signal: ended.signal,
    })
    await expect.poll(reported, {interval: 10}).toBe('nothing')
    told['spot/instance-action'] = JSON.stringify({action: 'terminate', time: '2026-11-21T09:02:00Z'})
    await expect.poll(reported, {interval: 10}).toBe('[{"id":"2026-11-21T09:02:00Z","kind":"terminate"}]')
    ended.abort()
    await watching.catch(() => undefined)
  })
  // It asks for nothing by itself: what is to become of the pods the controller decides.
  expect(node.kube.changes).toEqual(Array(2).fill(`patch Node ${NODE}`))
})
