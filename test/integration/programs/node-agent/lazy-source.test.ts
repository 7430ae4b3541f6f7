import {once} from 'node:events'
import type {IncomingMessage} from 'node:http'
import {createServer, connect, type Socket} from 'node:net'
import type {Duplex} from 'node:stream'
import {Registry} from 'prom-client'
import {expect, test} from 'vitest'
import {API_VERSION} from '../../../../src/api/names.ts'
import {migrationSchema} from '../../../../src/api/resources.ts'
import {serveHttp, type HttpServer, type HttpUpgrade} from '../../../../src/operator/http-server.ts'
import {answeringKey, channelOf, peerKeyOf} from '../../../../src/operator/peer-tls.ts'
import {parseCheckpoint} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {incomingPages} from '../../../../src/programs/node-agent/lazy/incoming-pages.ts'
import {connectPages} from '../../../../src/programs/node-agent/lazy/lazy-restore.ts'
import {requestPages} from '../../../../src/programs/node-agent/lazy/request-pages.ts'
import {pageUpgrade, PAGES_PROTOCOL} from '../../../../src/programs/node-agent/lazy/serve-pages.ts'
import {SOURCE_PROOF_HEADER, sourceKey} from '../../../../src/programs/node-agent/lazy/source-key.ts'
import {FakeKube} from '../../../support/fake-kube.ts'
import {noPageServers} from '../../../support/page-servers.ts'
import {tempFolder} from '../../../support/temp-folder.ts'

const [SOURCE, TARGET] = ['worker-1', 'worker-2'] as const
const POD_UID = '59002284-99ba-40ea-be82-c5dfb31d88b6'
/** All agents have it, so root on any node does. */
const SHARED = Buffer.alloc(32, 7).toString('base64')
const {signal} = new AbortController()
const log = (): void => undefined

/** A move with lazy memory, whose target has received all but the memory. */
function dumped(publicKey: string | undefined): FakeKube {
  const kube = new FakeKube()
  kube.put({
    apiVersion: API_VERSION,
    kind: 'Checkpoint',
    metadata: {name: 'move-web', namespace: 'team'},
    spec: {podRef: {name: 'web-1'}, transfer: {nodeName: TARGET, lazy: true}},
    status: {
      ...{phase: 'Dumped', nodeName: SOURCE, podUID: POD_UID, frozen: true},
      transfer: {
        ...{digest: `sha256:${'d'.repeat(64)}`, sizeBytes: 1},
        ...(publicKey === undefined ? {} : {publicKey}),
      },
    },
  })
  kube.put({
    apiVersion: API_VERSION,
    kind: 'Migration',
    metadata: {name: 'web', namespace: 'team'},
    spec: {podName: 'web-1', memoryPolicy: 'Lazy'},
    status: {
      ...{phase: 'Preparing', way: 'Direct', checkpointName: 'move-web', sourceNodeName: SOURCE},
      ...{targetNodeName: TARGET, newPodName: 'web-2', transfer: {receivedBytes: 1}},
    },
  })
  return kube
}

const uidIn = (kube: FakeKube): string => kube.peek(API_VERSION, 'Checkpoint')[0]?.metadata.uid ?? ''

/** An agent with the shared key. */
async function agent(upgrade: HttpUpgrade): Promise<HttpServer> {
  const key = answeringKey(
    () => Promise.resolve(SHARED),
    () => 0,
  )
  await key.settled()
  return serveHttp(0, {
    registry: new Registry(),
    health: {problem: () => undefined, unready: () => undefined},
    peers: {key, answer: () => Promise.resolve(false), upgrade},
    log,
  })
}

/** Has the target connect to whoever listens on that port, and keep the connection for a restore. */
async function connectTo(port: number, kube: FakeKube): Promise<void> {
  await using folder = await tempFolder()
  const pages = incomingPages(folder.path, log)
  const [migration, checkpoint] = ['Migration', 'Checkpoint'].map((kind) => kube.peek(API_VERSION, kind)[0])
  if (migration === undefined || checkpoint === undefined) throw new Error('the objects are gone')
  let isConnected = false
  try {
    await connectPages(migrationSchema.parse(migration), parseCheckpoint(checkpoint), {
      ...{kube, now: () => performance.now(), signal, node: TARGET, incomingPages: pages},
      openPages: (wanted, headersOf, until) =>
        requestPages({host: '127.0.0.1', port, key: peerKeyOf(SHARED), wanted, headersOf, signal: until}),
    })
    isConnected = true
  } finally {
    // Without it, no process is started (restore-decision.ts).
    expect(pages.socketOf(uidIn(kube)) !== undefined).toBe(isConnected)
    pages.close(uidIn(kube))
  }
}

/** Goes on with the connection as the source would, and shows what `proofOf` gives as its proof. */
const posing =
  (proofOf: (request: IncomingMessage) => string | undefined): HttpUpgrade =>
  (request, socket) => {
    const proof = proofOf(request)
    const header = proof === undefined ? '' : `${SOURCE_PROOF_HEADER}: ${proof}\r\n`
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${PAGES_PROTOCOL}\r\n${header}\r\n`,
    )
    return Promise.resolve(true)
  }

const REFUSED = {code: 'TRANSFER_FAILED', message: expect.stringContaining('not the node agent of') as string}

test('an agent that only has the key of all agents does not pose as the source of memory', async () => {
  const key = sourceKey()
  const kube = dumped(key.publicKey)
  const about = {checkpointUid: uidIn(kube), target: TARGET}
  const channel = (request: IncomingMessage): Buffer => channelOf(request) ?? Buffer.alloc(0)
  for (const [what, proofOf] of [
    ['without a proof', () => undefined],
    ['signed by a key of its own', (request) => sourceKey().prove(about, channel(request))],
    ['of another connection', () => key.prove(about, Buffer.alloc(32, 1))],
    ['of another move', (request) => key.prove({...about, checkpointUid: POD_UID}, channel(request))],
    ['for another node', (request) => key.prove({...about, target: 'worker-3'}, channel(request))],
    ['that is no signature', () => 'AAAA'],
  ] as const satisfies readonly (readonly [string, (request: IncomingMessage) => string | undefined])[]) {
    const server = await agent(posing(proofOf))
    try {
      await expect(connectTo(server.port, kube), what).rejects.toMatchObject(REFUSED)
    } finally {
      server.close()
    }
  }
})

test('a source that has published no key is not asked for memory', async () => {
  let asked = 0
  const server = await agent((_request, socket) => {
    asked += 1
    socket.destroy()
    return Promise.resolve(true)
  })
  try {
    await expect(connectTo(server.port, dumped(undefined))).rejects.toMatchObject({code: 'TRANSFER_FAILED'})
    expect(asked).toBe(0)
  } finally {
    server.close()
  }
})

/** The agent of the source, with a page server that answers `pages`. */
async function source(key: ReturnType<typeof sourceKey>, kube: FakeKube, pages: Socket): Promise<HttpServer> {
  const pageServers = {...noPageServers, keyOf: () => key, connect: () => Promise.resolve(pages)}
  return agent(pageUpgrade({pageServers, kube, node: SOURCE, log, signal}))
}

/** A connection within this process. */
async function loop(): Promise<{near: Socket; far: Socket; close: () => void}> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const near = connect(typeof address === 'object' ? (address?.port ?? 0) : 0, '127.0.0.1').on('error', log)
  const [far] = (await once(server, 'connection')) as [Socket]
  far.on('error', log)
  return {
    ...{near, far},
    close: () => {
      near.destroy()
      far.destroy()
      server.close()
    },
  }
}

test('the source itself is connected', async () => {
  const key = sourceKey()
  const kube = dumped(key.publicKey)
  const pages = await loop()
  const server = await source(key, kube, pages.far)
  try {
    await connectTo(server.port, kube)
  } finally {
    server.close()
    pages.close()
  }
})

test('an agent between both that passes on what they say has neither of them', async () => {
  const key = sourceKey()
  const kube = dumped(key.publicKey)
  const pages = await loop()
  const server = await source(key, kube, pages.far)
  let refusal = ''
  // With the headers of the target, over a connection of its own.
  const between = await agent(async (request, socket) => {
    const own = await requestPages({
      ...{host: '127.0.0.1', port: server.port, key: peerKeyOf(SHARED), signal},
      wanted: {
        ...{namespace: 'team', checkpoint: 'move-web', checkpointUid: uidIn(kube), migration: 'web'},
        ...{source: SOURCE, target: TARGET, sourceKey: key.publicKey},
      },
      headersOf: () =>
        Object.fromEntries(
          Object.entries(request.headers).filter(([name]) => name.startsWith('clouder-')),
        ) as Record<string, string>,
    }).catch((error: unknown): Duplex | undefined => {
      refusal = String(error)
      return undefined
    })
    expect(own).toBeUndefined()
    return posing(() => undefined)(request, socket)
  })
  try {
    await expect(connectTo(between.port, kube)).rejects.toMatchObject(REFUSED)
    expect(refusal).toContain('not signed by the node agent of worker-2')
  } finally {
    between.close()
    server.close()
    pages.close()
  }
})
