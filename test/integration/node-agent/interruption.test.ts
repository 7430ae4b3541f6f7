import {createServer, type IncomingMessage, type ServerResponse} from 'node:http'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {API_VERSION, BACKEND_LABELS, POLICY_LABEL} from '../../../src/checkpoint/names.ts'
import {findMetadata, savePods, watchInterruptions} from '../../../src/node-agent/interruption.ts'
import {FakeNode, NODE, POD} from '../../support/fake-node.ts'

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

/** Opts the pod in, and has another node that restores, or not. */
function opted(node: FakeNode, {withOther}: {withOther: boolean}): FakeNode {
  node.kube.put({
    apiVersion: API_VERSION,
    kind: 'CheckpointPolicy',
    metadata: {name: 'spot', namespace: POD.namespace},
    spec: {selector: {matchLabels: {app: 'web'}}, onInterruption: true, store: 'bucket'},
  })
  if (withOther) {
    node.kube.put({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {name: 'worker-2', labels: {[BACKEND_LABELS.handler]: 'true'}},
      spec: {},
      status: {conditions: [{type: 'Ready', status: 'True'}]},
    })
  }
  return node
}

const asked = (node: FakeNode, kind: 'Migration' | 'Checkpoint') =>
  node.kube.peek(API_VERSION, kind).map((object) => object['spec'])

const save = (node: FakeNode, notice = 'one'): Promise<number> =>
  savePods({node: NODE, kube: node.kube, log: () => undefined}, notice)

/** The cluster has brought a move to this end. */
function end(node: FakeNode, phase: 'Failed' | 'RolledBack'): void {
  for (const migration of node.kube.peek(API_VERSION, 'Migration'))
    node.kube.put({...migration, status: {phase}})
}

test('a pod that a policy opts in is moved, once a notice', async () => {
  const node = opted(new FakeNode('/unused'), {withOther: true})
  for (let time = 1; time <= 2; time++) expect(await save(node)).toBe(1)
  expect(asked(node, 'Migration')).toEqual([{pod: 'web', store: 'bucket', owner: 'policy/spot'}])
  // The cloud first gives advice, and then takes the machine: the pod is on its way already.
  expect(await save(node, 'another')).toBe(1)
  expect(asked(node, 'Migration')).toHaveLength(1)
  expect(asked(node, 'Checkpoint')).toEqual([])
})

test('where no other node takes it, or its move comes to nothing, it is checkpointed', async () => {
  const alone = opted(new FakeNode('/unused'), {withOther: false})
  expect(await save(alone)).toBe(0)
  const saved = {pod: {name: 'web'}, store: 'bucket', after: 'run', owner: 'policy/spot'}
  expect(asked(alone, 'Checkpoint')).toMatchObject([saved])
  expect(alone.kube.peek(API_VERSION, 'Checkpoint')[0]?.metadata.labels).toEqual({[POLICY_LABEL]: 'spot'})
  const full = opted(new FakeNode('/unused'), {withOther: true})
  await save(full)
  end(full, 'RolledBack')
  for (let time = 1; time <= 2; time++) expect(await save(full)).toBe(0)
  expect(asked(full, 'Migration')).toHaveLength(1)
  expect(asked(full, 'Checkpoint')).toMatchObject([saved])
  // The next notice is another chance.
  expect(await save(full, 'another')).toBe(1)
  expect(asked(full, 'Migration')).toHaveLength(2)
})

test('pods that no policy opts in are left alone', async () => {
  const node = new FakeNode('/unused')
  expect(await save(node)).toBe(0)
  expect([...asked(node, 'Migration'), ...asked(node, 'Checkpoint')]).toEqual([])
})

test('a notice that comes while the agent watches moves the pods', async () => {
  const node = opted(new FakeNode('/unused'), {withOther: true})
  const action = JSON.stringify({action: 'terminate', time: '2026-11-21T09:02:00Z'})
  await withMetadata(aws({'spot/instance-action': action}), async (metadataUrl) => {
    const ended = new AbortController()
    const watching = watchInterruptions({
      node: NODE,
      kube: node.kube,
      metadataUrl,
      log: () => undefined,
      signal: ended.signal,
    })
    await expect.poll(() => asked(node, 'Migration').length, {interval: 10}).toBe(1)
    ended.abort()
    await watching.catch(() => undefined)
  })
})
