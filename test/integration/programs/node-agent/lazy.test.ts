import {once} from 'node:events'
import {mkdir, stat, writeFile} from 'node:fs/promises'
import {connect, createServer, type Server, type Socket} from 'node:net'
import {join} from 'node:path'
import type {Duplex} from 'node:stream'
import {Registry} from 'prom-client'
import {expect, test} from 'vitest'
import {API_VERSION} from '../../../../src/api/names.ts'
import {parsePod, type Pod} from '../../../../src/kubernetes/pod.ts'
import {serveHttp} from '../../../../src/operator/http-server.ts'
import {answeringKey, peerKeyOf} from '../../../../src/operator/peer-tls.ts'
import type {HostCommand} from '../../../../src/programs/node-agent/host-command.ts'
import {incomingPages} from '../../../../src/programs/node-agent/lazy/incoming-pages.ts'
import {joinSockets} from '../../../../src/programs/node-agent/lazy/join-sockets.ts'
import {
  followPages,
  isToFollow,
  lazyPages,
  refuseLost,
} from '../../../../src/programs/node-agent/lazy/lazy-restore.ts'
import {hostPageServers, type PageServers} from '../../../../src/programs/node-agent/lazy/page-servers.ts'
import {requestPages} from '../../../../src/programs/node-agent/lazy/request-pages.ts'
import {pageUpgrade} from '../../../../src/programs/node-agent/lazy/serve-pages.ts'
import {sourceKey} from '../../../../src/programs/node-agent/lazy/source-key.ts'
import {transferKey} from '../../../../src/programs/node-agent/transfer/access.ts'
import {FakeKube} from '../../../support/fake-kube.ts'
import {noPageServers} from '../../../support/page-servers.ts'
import {tempFolder} from '../../../support/temp-folder.ts'

const [SOURCE, TARGET] = ['worker-1', 'worker-2'] as const
const POD_UID = '59002284-99ba-40ea-be82-c5dfb31d88b6'
const CHECKPOINT_UID = '11111111-99ba-40ea-be82-c5dfb31d88b6'
const KEY = Buffer.alloc(32, 7).toString('base64')
const SILENCE = {firstMs: 60_000, restMs: 60_000}
const SOON = {interval: 5, timeout: 30_000}
const {signal} = new AbortController()
const log = (): void => undefined

interface Pair extends AsyncDisposable {
  readonly near: Socket
  readonly far: Socket
}

/** A connection within this process, of which both ends are at hand. */
async function pair(): Promise<Pair> {
  const server = createServer({allowHalfOpen: false}).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const near = connect(typeof address === 'object' ? (address?.port ?? 0) : 0, '127.0.0.1')
  const [far] = (await once(server, 'connection')) as [Socket]
  for (const socket of [near, far]) socket.on('error', log)
  return {
    near,
    far,
    async [Symbol.asyncDispose]() {
      near.destroy()
      far.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** As much as was sent by the end of a connection. */
async function textOf(socket: Duplex): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of socket) parts.push(Buffer.from(part as Uint8Array))
  return Buffer.concat(parts).toString()
}

async function nextOf(socket: Duplex): Promise<string> {
  const [part] = (await once(socket, 'data', {signal: AbortSignal.timeout(30_000)})) as [Buffer]
  return part.toString()
}

test('what one end sends arrives at the other, also the last of it, and what came from the source is counted', async () => {
  await using one = await pair()
  await using other = await pair()
  let bytes = 0
  const joined = joinSockets(one.far, other.near, {
    onBytes: (more) => void (bytes += more),
    ...{silence: SILENCE, signal},
  })
  other.far.write('page 7?')
  expect(await nextOf(one.near)).toBe('page 7?')
  one.near.end('x'.repeat(1_000_000))
  expect((await textOf(other.far)).length).toBe(1_000_000)
  await joined
  expect(bytes).toBe(1_000_000)
  expect([one.far.destroyed, other.near.destroyed]).toEqual([true, true])
})

test.for(['from', 'to', 'abort', 'silence'] as const)(
  'connections that are joined end together: %s',
  async (what) => {
    await using one = await pair()
    await using other = await pair()
    const over = new AbortController()
    const silence = what === 'silence' ? {firstMs: 60_000, restMs: 10} : SILENCE
    const joined = joinSockets(one.far, other.near, {silence, signal: over.signal})
    one.near.write('p')
    expect(await nextOf(other.far)).toBe('p')
    const ended = Promise.all([textOf(one.near), textOf(other.far)]).catch(() => undefined)
    if (what === 'from') one.near.destroy()
    if (what === 'to') other.far.destroy()
    if (what === 'abort') over.abort(new Error('the agent ends'))
    await joined
    await ended
    expect([one.far.destroyed, other.near.destroyed]).toEqual([true, true])
  },
)

test('the connection of a page server is for one daemon, by a socket for root only', async () => {
  await using folder = await tempFolder()
  await using source = await pair()
  const pages = incomingPages(folder.path, log)
  await pages.keep(CHECKPOINT_UID, source.far)
  const path = pages.socketOf(CHECKPOINT_UID) ?? ''
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  const daemon = connect(path).on('error', log)
  daemon.write('page 7?')
  expect(await nextOf(source.near)).toBe('page 7?')
  source.near.write('it is')
  expect(await nextOf(daemon)).toBe('it is')
  expect(pages.receivedBytes(CHECKPOINT_UID)).toBe(5)
  // Another one would get pages that the first one misses.
  const second = connect(path).on('error', log)
  await new Promise((resolve) => second.once('close', resolve))
  source.near.end()
  await once(daemon, 'close')
  await expect.poll(() => pages.receivedBytes(CHECKPOINT_UID), SOON).toBeUndefined()
  expect(pages.socketOf(CHECKPOINT_UID)).toBeUndefined()
})

test('a connection that ends, is closed, or is replaced before a daemon came leads nowhere', async () => {
  await using folder = await tempFolder()
  await using first = await pair()
  await using next = await pair()
  await using last = await pair()
  const pages = incomingPages(folder.path, log)
  await pages.keep(CHECKPOINT_UID, first.far)
  await pages.keep(CHECKPOINT_UID, next.far)
  expect(first.far.destroyed).toBe(true)
  expect(pages.socketOf(CHECKPOINT_UID)).toBeDefined()
  next.near.resetAndDestroy()
  await expect.poll(() => pages.socketOf(CHECKPOINT_UID), SOON).toBeUndefined()
  await pages.keep(CHECKPOINT_UID, last.far)
  pages.close(CHECKPOINT_UID)
  expect([pages.socketOf(CHECKPOINT_UID), last.far.destroyed]).toEqual([undefined, true])
})

interface ServerScene extends AsyncDisposable {
  readonly servers: PageServers
  readonly argv: readonly string[]
  readonly folder: string
  /** Clients of the page server, in their order. */
  readonly clients: readonly Socket[]
}

/** A node whose runc has such a page server, which answers the first byte of a client with `answer`. */
async function withServers(kind: 'serves' | 'fails', answer = 'P'): Promise<ServerScene> {
  const folder = await tempFolder()
  const clients: Socket[] = []
  const argv: string[] = []
  const path = join(folder.path, `pages-${POD_UID}.sock`)
  let server: Server | undefined
  const command: HostCommand = {
    start: () => {
      if (kind === 'fails') return Promise.resolve()
      server = createServer((client) => {
        clients.push(client)
        client.on('error', log).once('data', (first) => {
          if (first.toString() === 'Q') client.destroy()
          else client.write(answer)
        })
      }).listen(path)
      return Promise.resolve()
    },
    ended: () => (kind === 'fails' ? Promise.resolve(1) : new Promise(() => undefined)),
    kill: () => Promise.resolve(),
  }
  const servers = hostPageServers({
    commands: {
      prepare: (words, options) => {
        argv.push(...words, JSON.stringify(options))
        return Promise.resolve(command)
      },
    },
    folder: folder.path,
    program: '/opt/clouder/clouder-files',
  })
  return {
    ...{servers, argv, clients, folder: folder.path},
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.destroy()
      server?.close()
      await folder[Symbol.asyncDispose]()
    },
  }
}

test('a page server is alone in its network, and gives its connection to the agent', async () => {
  await using scene = await withServers('serves')
  const {servers, folder} = scene
  await (await servers.prepare(POD_UID, '0a1b', {images: '/i', work: '/w'}, signal)).run(signal)
  expect(scene.argv.slice(0, 7)).toEqual([
    ...['/opt/clouder/clouder-files', 'serve-pages', '--socket', join(folder, `pages-${POD_UID}.sock`)],
    ...['--port', '7878', '--'],
  ])
  expect(scene.argv.slice(-7)).toEqual([
    ...['--lazy-pages', '--page-server', '127.0.0.1:7878', '--status-fd', '3', '0a1b'],
    JSON.stringify({network: 'own'}),
  ])
  const {publicKey} = servers.keyOf(POD_UID)
  expect(servers.keyOf(POD_UID).publicKey).toBe(publicKey)
  const pages = await servers.connect(POD_UID, signal)
  scene.clients[0]?.write('page')
  expect(await nextOf(pages.resume())).toBe('page')
  pages.destroy()
  await servers.end(POD_UID, signal)
  expect(scene.clients).toHaveLength(2)
  // One that this program did not start is known by no key.
  expect(() => servers.keyOf(POD_UID)).toThrow('was restarted')
})

test('a dump that fails says why, and a page server that is not there has ended', async () => {
  await using scene = await withServers('fails')
  const {servers, folder} = scene
  const work = join(folder, 'work')
  await mkdir(work)
  await writeFile(join(work, 'runc.log'), `${JSON.stringify({level: 'error', msg: 'criu failed: 52'})}\n`)
  const prepared = await servers.prepare(POD_UID, '0a1b', {images: '/i', work}, signal)
  await expect(prepared.run(signal)).rejects.toThrow('criu failed: 52')
  await servers.end(POD_UID, signal)
  await expect(servers.connect(POD_UID, signal)).rejects.toMatchObject({code: 'TRANSFER_FAILED'})
  await expect(servers.connect('../../etc', signal)).rejects.toThrow('not the uid of a pod')
})

test('a page server that has given its connection away refuses another one', async () => {
  await using scene = await withServers('serves', 'X')
  await (await scene.servers.prepare(POD_UID, '0a1b', {images: '/i', work: '/w'}, signal)).run(signal)
  await expect(scene.servers.connect(POD_UID, signal)).rejects.toMatchObject({code: 'TRANSFER_FAILED'})
})

/** The objects of a move with lazy memory, at a moment of it. */
function moving(status: object = {}, {lazy = true} = {}): FakeKube {
  const kube = new FakeKube()
  kube.put({
    apiVersion: API_VERSION,
    kind: 'Checkpoint',
    metadata: {
      name: 'move-web',
      namespace: 'team',
      uid: CHECKPOINT_UID,
      labels: {'clouder.dev/migration': 'web'},
    },
    spec: {podRef: {name: 'web-1'}, transfer: {nodeName: TARGET, ...(lazy ? {lazy} : {})}},
    status: {
      ...{phase: 'Dumped', nodeName: SOURCE, podUID: POD_UID, frozen: true},
      containers: [{name: 'main', image: 'app:1', archiveBytes: 1}],
    },
  })
  kube.put({
    apiVersion: API_VERSION,
    kind: 'Migration',
    metadata: {name: 'web', namespace: 'team'},
    spec: {podName: 'web-1', memoryPolicy: 'Lazy'},
    status: {
      ...{phase: 'Moving', way: 'Direct', checkpointName: 'move-web', sourceNodeName: SOURCE},
      ...{targetNodeName: TARGET, newPodName: 'web-2', newPodUID: 'new', transfer: {receivedBytes: 1}},
      ...status,
    },
  })
  return kube
}

const migrationIn = (kube: FakeKube) => {
  const found = kube.peek(API_VERSION, 'Migration')[0]
  if (found === undefined) throw new Error('the Migration is gone')
  return found
}
const pagesIn = (kube: FakeKube): unknown =>
  (migrationIn(kube)['status'] as {transfer?: {pages?: unknown}}).transfer?.pages

test('the agent of the target, and nobody else, is connected to the page server of a pod', async () => {
  await using source = await pair()
  const [key, own] = [transferKey(), sourceKey()]
  const kube = moving({transfer: {receivedBytes: 1, publicKey: key.publicKey}})
  const uid = kube.peek(API_VERSION, 'Checkpoint')[0]?.metadata.uid ?? ''
  const asked: string[] = []
  const pageServers: PageServers = {
    ...noPageServers,
    keyOf: () => own,
    connect: (podUid) => {
      asked.push(podUid)
      return Promise.resolve(source.far)
    },
  }
  const answering = answeringKey(
    () => Promise.resolve(KEY),
    () => 0,
  )
  await answering.settled()
  const server = await serveHttp(0, {
    registry: new Registry(),
    health: {problem: () => undefined, unready: () => undefined},
    peers: {
      key: answering,
      answer: () => Promise.resolve(false),
      upgrade: pageUpgrade({pageServers, kube, node: SOURCE, log, signal}),
    },
    log,
  })
  const wanted = {
    ...{namespace: 'team', checkpoint: 'move-web', checkpointUid: uid},
    ...{migration: 'web', source: SOURCE, target: TARGET, sourceKey: own.publicKey},
  }
  const ask = (by: typeof key, path = uid): Promise<Duplex> =>
    requestPages({
      ...{host: '127.0.0.1', port: server.port, key: peerKeyOf(KEY), signal},
      wanted: {...wanted, checkpointUid: path},
      headersOf: (channel) => by.headersOf(wanted, channel),
    })
  try {
    await expect(ask(transferKey())).rejects.toThrow('not signed by the node agent of worker-2')
    await expect(ask(key, POD_UID)).rejects.toThrow('403')
    expect(asked).toEqual([])
    const pages = await ask(key)
    expect(asked).toEqual([POD_UID])
    pages.write('page 7?')
    expect(await nextOf(source.near)).toBe('page 7?')
    source.near.write('it is')
    expect(await nextOf(pages)).toBe('it is')
    pages.destroy()
    await once(source.near.resume(), 'close')
  } finally {
    server.close()
  }
})

interface Restoring {
  readonly folder: string
  readonly socket?: string | undefined
  received?: number | undefined
}

const toolsOf = (kube: FakeKube, at: Restoring) => ({
  ...{kube, log, signal, node: TARGET},
  now: () => performance.now(),
  incomingPages: {
    keep: () => Promise.resolve(),
    socketOf: () => at.socket,
    receivedBytes: () => at.received,
    close: () => undefined,
  },
  preparations: {pagesState: (uid: string, container: string) => join(at.folder, `${uid}-${container}`)},
})

const NEW_POD: Pod = parsePod({
  ...{apiVersion: 'v1', kind: 'Pod', metadata: {name: 'web-2', namespace: 'team', uid: 'new'}},
  spec: {containers: [{name: 'main', image: 'app:1'}]},
})
const REQUEST = {container: 'main', checkpoint: 'move-web'}

test('that processes may run is in the Migration before they do, and once only', async () => {
  await using folder = await tempFolder()
  const kube = moving()
  const tools = toolsOf(kube, {folder: folder.path, socket: '/run/x.sock'})
  expect(await lazyPages(NEW_POD, REQUEST, tools)).toEqual({
    socket: '/run/x.sock',
    state: join(folder.path, 'new-main'),
  })
  expect(pagesIn(kube)).toMatchObject({state: 'Starting'})
  await expect(lazyPages(NEW_POD, REQUEST, tools)).rejects.toThrow('requested before')
})

test.for<[string, object, Partial<Restoring>, string, string | undefined]>([
  ['its connection has ended', {}, {}, 'connection to the page server', 'NotStarted'],
  ['the move was given up', {phase: 'RollingBack'}, {socket: '/s'}, 'given up', undefined],
  ['another pod is the new one', {newPodName: 'web-3'}, {socket: '/s'}, 'given up', undefined],
])('a pod is not restored with lazy memory when %s', async ([, status, at, words, state]) => {
  await using folder = await tempFolder()
  const kube = moving(status)
  await expect(
    lazyPages(NEW_POD, REQUEST, toolsOf(kube, {folder: folder.path, ...at})),
  ).rejects.toMatchObject({code: 'RESTORE_FAILED', message: expect.stringContaining(words) as string})
  expect((pagesIn(kube) as {state?: string} | undefined)?.state).toBe(state)
})

test('a pod whose memory is all there is restored as ever', async () => {
  await using folder = await tempFolder()
  const kube = moving({}, {lazy: false})
  expect(await lazyPages(NEW_POD, REQUEST, toolsOf(kube, {folder: folder.path}))).toBeUndefined()
  expect(pagesIn(kube)).toBeUndefined()
})

const STARTING = {phase: 'Verifying', transfer: {receivedBytes: 1, pages: {state: 'Starting'}}}

test.for([
  ['complete\n', {state: 'Complete'}],
  ['lost\nCRIU did not receive all memory', {state: 'Lost', message: 'CRIU did not receive all memory'}],
  ['not-started\nno room', {state: 'NotStarted', message: 'no room'}],
  ['whatever a newer handler says', {state: 'Lost'}],
] as const)('what the handler says of the memory is reported: %j', async ([text, expected]) => {
  await using folder = await tempFolder()
  const kube = moving(STARTING)
  const at: Restoring = {folder: folder.path, received: 2 ** 20}
  const following = followPages(migrationIn(kube), toolsOf(kube, at))
  await expect.poll(() => pagesIn(kube), SOON).toMatchObject({state: 'Starting', receivedBytes: 2 ** 20})
  await writeFile(join(folder.path, 'new-main'), text)
  await following
  expect(pagesIn(kube)).toMatchObject(expected)
  expect(isToFollow(migrationIn(kube), TARGET)).toBe(false)
})

test('memory of which nothing is heard after its connection has ended is lost', async () => {
  await using folder = await tempFolder()
  const kube = moving(STARTING)
  let nowMs = 0
  const tools = {...toolsOf(kube, {folder: folder.path}), now: () => (nowMs += 1000)}
  await followPages(migrationIn(kube), tools)
  expect(pagesIn(kube)).toMatchObject({state: 'Lost', message: 'the connection to the source ended'})
})

test('a container whose memory was lost is not started again with what is left of it', async () => {
  await using folder = await tempFolder()
  const {preparations} = toolsOf(moving(), {folder: folder.path})
  await refuseLost('new', 'main', preparations)
  for (const [text, fails] of [
    ['complete\n', false],
    ['lost\nbroken', true],
    ['not-started\n', true],
  ] as const) {
    await writeFile(join(folder.path, 'new-main'), text)
    const refused = refuseLost('new', 'main', preparations)
    await (fails ? expect(refused).rejects.toMatchObject({code: 'RESTORE_FAILED'}) : refused)
  }
})
