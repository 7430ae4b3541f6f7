import {Registry} from 'prom-client'
import {randomBytes} from 'node:crypto'
import {mkdir, readdir, readFile, writeFile} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {afterAll, afterEach, beforeAll, beforeEach, expect, test} from 'vitest'
import {API_VERSION} from '../../../../src/api/names.ts'
import {answeringKey, peerKeyOf} from '../../../../src/operator/peer-tls.ts'
import {serveHttp, type HttpServer} from '../../../../src/operator/http-server.ts'
import {diskArchives} from '../../../../src/programs/node-agent/archives.ts'
import {PIN_HEADER, transferKey} from '../../../../src/programs/node-agent/transfer/access.ts'
import {
  DATA_PREAMBLE,
  dataConnections,
} from '../../../../src/programs/node-agent/transfer/data-connections.ts'
import {incomingDumps, type IncomingDumps} from '../../../../src/programs/node-agent/transfer/incoming.ts'
import {outgoingDumps} from '../../../../src/programs/node-agent/transfer/outgoing.ts'
import {dumpPulls, type DumpOpener} from '../../../../src/programs/node-agent/transfer/pull.ts'
import type {StartTransfer} from '../../../../src/programs/node-agent/transfer/program.ts'
import {requestDump} from '../../../../src/programs/node-agent/transfer/request.ts'
import {dumpServer} from '../../../../src/programs/node-agent/transfer/serve-dumps.ts'
import {FakeKube} from '../../../support/fake-kube.ts'
import {tempFolder} from '../../../support/temp-folder.ts'
import {transferProgram} from '../../../support/transfer-program.ts'

const KEY = Buffer.alloc(32, 7).toString('base64')
const [SOURCE, TARGET] = ['worker-1', 'worker-2']
const MIB = 1024 * 1024
/** Of what takes milliseconds where nothing else runs. */
const SOON = {interval: 5, timeout: 60_000}
const PIN = 'ab'.repeat(32)
const ref = (kind: string, name: string) => ({apiVersion: API_VERSION, kind, namespace: 'team', name})

/** Two nodes of one cluster, each with the parts of its agent that a transfer needs. */
class Scene implements AsyncDisposable {
  readonly kube = new FakeKube()
  readonly over = new AbortController()
  readonly folder: AsyncDisposable & {readonly path: string}
  readonly logged: string[] = []
  readonly #servers: HttpServer[] = []
  port = 0
  /** Of the source. */
  archives = diskArchives('/nowhere')
  outgoing = outgoingDumps('/nowhere', this.archives)

  constructor(folder: AsyncDisposable & {readonly path: string}) {
    this.folder = folder
    this.kube.put({
      ...{apiVersion: API_VERSION, kind: 'Checkpoint', metadata: {name: 'move-web', namespace: 'team'}},
      spec: {podRef: {name: 'web'}, transfer: {nodeName: TARGET}},
      status: {phase: 'Dumping', nodeName: SOURCE},
    })
    this.kube.put({
      ...{apiVersion: API_VERSION, kind: 'Migration', metadata: {name: 'web', namespace: 'team'}},
      spec: {podName: 'web'},
      status: {
        ...{phase: 'Checkpointing', way: 'Direct', checkpointName: 'move-web'},
        ...{sourceNodeName: SOURCE, targetNodeName: TARGET},
      },
    })
  }

  get uid(): string {
    return this.kube.peek(API_VERSION, 'Checkpoint')[0]?.metadata.uid ?? ''
  }

  get migration() {
    const found = this.kube.peek(API_VERSION, 'Migration')[0]
    if (found === undefined) throw new Error('the Migration is gone')
    return found
  }

  /** Starts the agent of the source anew: what it had in memory is gone. */
  async startSource(node = SOURCE): Promise<void> {
    this.archives = diskArchives(join(this.folder.path, 'source'))
    this.outgoing = outgoingDumps(join(this.folder.path, 'outgoing'), this.archives)
    const key = answeringKey(
      () => Promise.resolve(KEY),
      () => 0,
    )
    await key.settled()
    const {kube, outgoing} = this
    const data = dataConnections()
    const answer = dumpServer({
      ...{kube, node, outgoing, data, start: startTransfer},
      ...{log: this.#log(node), signal: this.over.signal},
    })
    const server = await serveHttp(0, {
      registry: new Registry(),
      health: {problem: () => undefined, unready: () => undefined},
      peers: {key, answer},
      others: {firstByte: DATA_PREAMBLE, take: data.take},
      log: this.#log(node),
    })
    this.#servers.push(server)
    this.port = server.port
  }

  killSource(): void {
    for (const server of this.#servers.splice(0)) server.close()
  }

  readonly #log =
    (node: string) =>
    (_level: string, message: string): void =>
      void this.logged.push(`${node}: ${message}`)

  readonly open: DumpOpener = (wanted, headersOf, signal) =>
    requestDump({
      ...{host: '127.0.0.1', port: this.port, key: peerKeyOf(KEY)},
      ...{checkpointUid: wanted.checkpointUid, headersOf, signal},
    })

  incoming(memoryBytes?: number, diskBytes = 2 ** 40): IncomingDumps {
    const reserve = () => Promise.resolve(() => undefined)
    const at = (name: string, roomBytes: number) => ({
      folder: join(this.folder.path, name),
      roomBytes: () => Promise.resolve(roomBytes),
    })
    return incomingDumps({
      disk: at('target', diskBytes),
      ...(memoryBytes === undefined ? {} : {memory: {...at('memory', memoryBytes), reserve}}),
      start: startTransfer,
      log: this.#log(TARGET),
    })
  }

  target(incoming = this.incoming(), {open = this.open, over = this.over, now = Date.now} = {}) {
    return dumpPulls({
      ...{kube: this.kube, node: TARGET, incoming, openDump: open, now},
      ...{log: this.#log(TARGET), signal: over.signal},
    })
  }

  /** Dumps as the agent of the source does, and offers it. */
  async dump(pages: Buffer, container = 'main'): Promise<string> {
    const {uid, archives, outgoing, kube} = this
    const begun = await archives.beginFolder(uid, container, 'disk')
    for (const [path, content] of [
      ['checkpoint/pages-1.img', pages],
      ['spec.dump', Buffer.from('{}')],
    ] as const) {
      await mkdir(dirname(join(begun, path)), {recursive: true})
      await writeFile(join(begun, path), content)
    }
    await archives.claim(begun, uid, container)
    const folder = (await archives.folderOf(uid, container)) ?? ''
    const transfer = await outgoing.offer(uid, [{name: container, folder}])
    await kube.patch(
      ref('Checkpoint', 'move-web'),
      {status: {phase: 'Dumped', transfer}},
      {subresource: 'status'},
    )
    return transfer.digest
  }

  async pagesAt(incoming: IncomingDumps): Promise<Buffer> {
    const received = await incoming.find(this.uid)
    return readFile(join(received?.folder ?? '', 'main/checkpoint/pages-1.img'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.over.abort(new Error('the test is over'))
    this.killSource()
    await this.folder[Symbol.asyncDispose]()
  }
}

let program: AsyncDisposable & {readonly path: string}
let startTransfer: StartTransfer
beforeAll(async () => {
  program = await tempFolder()
  startTransfer = await transferProgram(program.path)
})
afterAll(() => program[Symbol.asyncDispose]())

let scene: Scene
beforeEach(async () => {
  scene = new Scene(await tempFolder())
  await scene.startSource()
})
afterEach(() => scene[Symbol.asyncDispose]())

test('the target brings a dump that begins after it asked, and says how much it has', async () => {
  const [incoming, pages] = [scene.incoming(), randomBytes(5 * MIB + 3)]
  const pulls = scene.target(incoming)
  pulls.begin(scene.migration)
  await expect.poll(() => scene.logged, SOON).toContain('worker-1: sending a dump')
  const digest = await scene.dump(pages)
  await pulls.settled(scene.uid)
  expect(await incoming.find(scene.uid)).toMatchObject({digest, containers: ['main']})
  expect((await scene.pagesAt(incoming)).equals(pages)).toBe(true)
  expect(scene.migration['status']).toMatchObject({transfer: {publicKey: expect.any(String) as string}})
})

test('what is here is not brought again, by this agent or one after it', async () => {
  const incoming = scene.incoming()
  await scene.dump(randomBytes(MIB))
  scene.target(incoming).begin(scene.migration)
  await expect.poll(() => incoming.find(scene.uid), SOON).toBeDefined()
  const refuse: DumpOpener = () => Promise.reject(new Error('asked for what is here'))
  const next = scene.incoming()
  await next.clean()
  const pulls = scene.target(next, {open: refuse})
  pulls.begin(scene.migration)
  await pulls.settled(scene.uid)
  expect(await next.find(scene.uid)).toBeDefined()
  expect(scene.logged.join('\n')).not.toContain('retrying')
})

test('a dump of an earlier attempt is replaced by the one that is offered', async () => {
  const incoming = scene.incoming()
  await scene.dump(Buffer.from('an earlier attempt'))
  const pulls = scene.target(incoming)
  pulls.begin(scene.migration)
  await expect.poll(() => incoming.find(scene.uid), SOON).toBeDefined()
  await scene.outgoing.forget(scene.uid)
  await scene.archives.remove(scene.uid)
  const digest = await scene.dump(Buffer.from('the one that counts'))
  const again = scene.target(incoming)
  again.begin(scene.migration)
  await expect.poll(async () => (await incoming.find(scene.uid))?.digest, SOON).toBe(digest)
  expect((await scene.pagesAt(incoming)).toString()).toBe('the one that counts')
})

test('a source that is killed in the middle is asked again', async () => {
  const [incoming, pages] = [scene.incoming(), randomBytes(48 * MIB)]
  const digest = await scene.dump(pages)
  const pulls = scene.target(incoming, {
    open: async (...request) => {
      const opened = await scene.open(...request)
      opened.content.once('data', () => scene.killSource())
      return opened
    },
  })
  pulls.begin(scene.migration)
  await expect.poll(() => scene.logged.join('\n'), SOON).toContain('retrying')
  await scene.startSource()
  const second = scene.target(incoming)
  await pulls.remove(scene.uid)
  second.begin(scene.migration)
  await expect.poll(() => incoming.find(scene.uid), SOON).toMatchObject({digest})
  expect((await scene.pagesAt(incoming)).equals(pages)).toBe(true)
})

test('what a target that was killed in the middle has left is removed at its start', async () => {
  const life = new AbortController()
  const incoming = scene.incoming()
  await scene.archives.beginFolder(scene.uid, 'main', 'disk')
  const folder = join(scene.folder.path, 'target', scene.uid)
  scene.target(incoming, {over: life}).begin(scene.migration)
  await expect.poll(() => readdir(folder).catch(() => undefined), SOON).toEqual([])
  // Its process is gone: nothing cleans up behind it.
  await writeFile(join(folder, 'half'), 'memory')
  const next = scene.incoming()
  expect(await next.list()).toEqual([scene.uid])
  await next.clean()
  expect(await next.list()).toEqual([])
  life.abort(new Error('killed'))
})

test('what does not fit in memory is received to the disk', async () => {
  const pages = randomBytes(70 * MIB)
  await scene.dump(pages)
  const incoming = scene.incoming(65 * MIB)
  const pulls = scene.target(incoming)
  pulls.begin(scene.migration)
  await expect
    .poll(() => incoming.find(scene.uid), SOON)
    .toMatchObject({
      folder: join(scene.folder.path, 'target', scene.uid),
    })
  expect((await scene.pagesAt(incoming)).equals(pages)).toBe(true)
  // It was known before: nothing was received twice.
  await expect(readdir(join(scene.folder.path, 'memory'))).rejects.toThrow('ENOENT')
  expect(scene.logged.join()).not.toContain('receiving a dump again')
})

test('what fits nowhere is refused with both sizes, and the source is told before how much would', async () => {
  await scene.dump(randomBytes(3 * MIB))
  const incoming = scene.incoming(MIB, 2 * MIB)
  const pulls = scene.target(incoming)
  const room = scene.outgoing.roomOf(scene.uid, scene.over.signal)
  pulls.begin(scene.migration)
  expect(await room).toBe(2 * MIB)
  await expect
    .poll(() => pulls.settled(scene.uid).catch((error: unknown) => String(error)), SOON)
    .toMatch(/the dump needs about 31\d+ bytes, but 2097152 are free/)
  expect(await incoming.list()).toEqual([])
})

test('a source that was started anew before it offered what it had sent is asked again', async () => {
  let nowMs = 0
  const incoming = scene.incoming()
  await scene.dump(randomBytes(MIB))
  await scene.kube.patch(
    ref('Checkpoint', 'move-web'),
    {status: {phase: 'Dumping', transfer: null}},
    {subresource: 'status'},
  )
  scene.target(incoming, {now: () => nowMs}).begin(scene.migration)
  await expect.poll(() => incoming.find(scene.uid), SOON).toBeDefined()
  scene.killSource()
  await scene.startSource()
  await scene.archives.remove(scene.uid)
  const room = scene.outgoing.roomOf(scene.uid, scene.over.signal)
  nowMs += 60_000
  // Before it dumps again it waits to be asked.
  expect(await room).toBe(2 ** 40)
  const pages = randomBytes(MIB)
  const digest = await scene.dump(pages)
  await expect.poll(() => incoming.find(scene.uid), SOON).toMatchObject({digest})
  expect((await scene.pagesAt(incoming)).equals(pages)).toBe(true)
})

test('what fits in memory is received there, and removed from there', async () => {
  await scene.dump(randomBytes(MIB))
  const incoming = scene.incoming(2 ** 30)
  const pulls = scene.target(incoming)
  pulls.begin(scene.migration)
  await expect
    .poll(() => incoming.find(scene.uid), SOON)
    .toMatchObject({
      folder: join(scene.folder.path, 'memory', scene.uid),
    })
  await pulls.remove(scene.uid)
  expect(await incoming.list()).toEqual([])
  expect(await readdir(join(scene.folder.path, 'memory'))).toEqual([])
})

test('a total that was estimated too low is taken back, and the part received stays', async () => {
  let nowMs = 0
  const whole = scene.incoming()
  const seen: unknown[] = []
  const note = (): void => void seen.push(scene.migration['status'])
  const incoming: IncomingDumps = {
    ...whole,
    async receive(uid, receiving) {
      receiving.onBytes(5 * MIB, 9 * MIB)
      await expect.poll(() => JSON.stringify(scene.migration), SOON).toContain(`"sizeBytes":${9 * MIB}`)
      note()
      receiving.onBytes(10 * MIB, 9 * MIB)
      await expect.poll(() => JSON.stringify(scene.migration), SOON).not.toContain('sizeBytes')
      note()
      return whole.receive(uid, receiving)
    },
  }
  await scene.dump(randomBytes(MIB))
  const pulls = scene.target(incoming, {now: () => (nowMs += 2000)})
  pulls.begin(scene.migration)
  await expect.poll(() => whole.find(scene.uid), SOON).toBeDefined()
  expect(seen).toMatchObject([
    {transfer: {receivedBytes: 5 * MIB, sizeBytes: 9 * MIB}},
    {transfer: {receivedBytes: 10 * MIB}},
  ])
})

test('a move that is over ends its transfer', async () => {
  const incoming = scene.incoming()
  const pulls = scene.target(incoming)
  pulls.begin(scene.migration)
  await expect.poll(() => scene.logged, SOON).toContain('worker-1: sending a dump')
  await pulls.remove(scene.uid)
  expect(await incoming.list()).toEqual([])
  await scene.kube.patch(ref('Migration', 'web'), {status: {phase: 'RollingBack'}}, {subresource: 'status'})
  pulls.begin(scene.migration)
  await pulls.settled(scene.uid)
  expect(scene.logged.filter((line) => line.endsWith('sending a dump'))).toHaveLength(1)
})

/** Asks for the dump with headers that one may make oneself. */
async function asked(change: {
  readonly key?: ReturnType<typeof transferKey>
  readonly source?: string
  readonly checkpoint?: string
  readonly migration?: string
  readonly channel?: Buffer
  readonly drop?: string
  readonly pin?: string
}): Promise<unknown> {
  const own = transferKey()
  const {publicKey} = own
  await scene.kube.patch(
    ref('Migration', 'web'),
    {status: {transfer: {publicKey, receivedBytes: 0}}},
    {
      subresource: 'status',
    },
  )
  const wanted = {
    ...{namespace: 'team', checkpoint: change.checkpoint ?? 'move-web', checkpointUid: scene.uid},
    ...{migration: change.migration ?? 'web', source: change.source ?? SOURCE},
  }
  return requestDump({
    ...{host: '127.0.0.1', port: scene.port, key: peerKeyOf(KEY), checkpointUid: scene.uid},
    headersOf: (channel) => {
      const headers = {
        ...(change.key ?? own).headersOf(wanted, change.channel ?? channel),
        [PIN_HEADER]: change.pin ?? PIN,
      }
      return Object.fromEntries(Object.entries(headers).filter(([name]) => name !== change.drop))
    },
    signal: scene.over.signal,
  }).then(({content}) => content.destroy())
}

test('whoever has the key in the Migration is sent the dump', async () => {
  await asked({})
})

test.each([
  ['another key than the one in the Migration', {key: transferKey()}],
  ['a proof for another source', {source: 'worker-3'}],
  ['a proof of another connection', {channel: Buffer.alloc(32)}],
  ['another checkpoint', {checkpoint: 'other'}],
  ['another migration', {migration: 'other'}],
  ['no proof', {drop: 'clouder-proof'}],
  ['no migration', {drop: 'clouder-migration'}],
  ['no key for the connections', {drop: PIN_HEADER}],
  ['something else than a key for the connections', {pin: '../x'}],
  ['a name that leads elsewhere', {checkpoint: '../../secrets/x'}],
])('a request with %s is refused', async (_, change) => {
  await expect(asked(change)).rejects.toMatchObject({
    code: 'TRANSFER_FAILED',
    message: expect.stringContaining('HTTP status 403') as string,
  })
})

test.each([
  ['the Migration moves to another node', 'Migration', {targetNodeName: 'worker-3'}],
  ['the Migration is of another checkpoint', 'Migration', {checkpointName: 'other'}],
  ['the Migration is over', 'Migration', {phase: 'Succeeded'}],
  ['the checkpoint is of another node', 'Checkpoint', {nodeName: 'worker-3'}],
])('a request is refused when %s', async (_, kind, status) => {
  const name = kind === 'Migration' ? 'web' : 'move-web'
  await scene.kube.patch(ref(kind, name), {status}, {subresource: 'status'})
  await expect(asked({})).rejects.toMatchObject({message: expect.stringContaining('403') as string})
})

test('a request again ends the one before', async () => {
  const first = await scene.open(
    {namespace: 'team', checkpoint: 'move-web', checkpointUid: scene.uid, migration: 'web', source: SOURCE},
    headersOfPublished(await published()),
    scene.over.signal,
  )
  const ended = new Promise((resolve) => first.content.once('close', resolve))
  first.content.resume()
  first.content.once('error', () => undefined)
  await asked({})
  await ended
})

async function published() {
  const key = transferKey()
  const status = {transfer: {publicKey: key.publicKey, receivedBytes: 0}}
  await scene.kube.patch(ref('Migration', 'web'), {status}, {subresource: 'status'})
  return key
}

const headersOfPublished =
  (key: ReturnType<typeof transferKey>) =>
  (channel: Buffer): Readonly<Record<string, string>> => ({
    ...key.headersOf(
      {namespace: 'team', checkpoint: 'move-web', checkpointUid: scene.uid, migration: 'web', source: SOURCE},
      channel,
    ),
    [PIN_HEADER]: PIN,
  })
