import fc from 'fast-check'
import {spawn, type ChildProcess} from 'node:child_process'
import {createHash, randomBytes} from 'node:crypto'
import {appendFile, mkdir, readdir, readFile, rm, symlink, writeFile} from 'node:fs/promises'
import type {ServerResponse} from 'node:http'
import {connect, type Socket} from 'node:net'
import {Readable} from 'node:stream'
import {dirname, join} from 'node:path'
import {Registry} from 'prom-client'
import {crc32} from 'node:zlib'
import {afterAll, beforeAll, expect, test} from 'vitest'
import {z} from 'zod'
import {serveHttp} from '../../../../src/operator/http-server.ts'
import {answeringKey, askPeer, peerKeyOf} from '../../../../src/operator/peer-tls.ts'
import {diskArchives, type Archives} from '../../../../src/programs/node-agent/archives.ts'
import {discardRounds} from '../../../../src/programs/node-agent/pre-copy.ts'
import {linkDump} from '../../../../src/programs/node-agent/prepare-dumped.ts'
import {PIN_HEADER} from '../../../../src/programs/node-agent/transfer/access.ts'
import {
  DATA_PREAMBLE,
  dataConnections,
  type DataConnections,
} from '../../../../src/programs/node-agent/transfer/data-connections.ts'
import {
  FrameReader,
  headerOf,
  PIECE_BYTES,
  pinSchema,
  type Frame,
} from '../../../../src/programs/node-agent/transfer/frames.ts'
import {outgoingDumps, type OutgoingDumps} from '../../../../src/programs/node-agent/transfer/outgoing.ts'
import {TransferProgram, type StartTransfer} from '../../../../src/programs/node-agent/transfer/program.ts'
import {
  receiveDump,
  RestartedError,
  type OpenedDump,
  type ReceivedDump,
  type ReceiveOptions,
} from '../../../../src/programs/node-agent/transfer/receive.ts'
import {sendDump} from '../../../../src/programs/node-agent/transfer/send.ts'
import {tempFolder} from '../../../support/temp-folder.ts'
import {transferProgram} from '../../../support/transfer-program.ts'

const UID = '59002284-99ba-40ea-be82-c5dfb31d88b6'
const KEY = Buffer.alloc(32, 7).toString('base64')
const PAGES = 'checkpoint/pages-1.img'
/** Of what takes milliseconds where nothing else runs. */
const SOON = {interval: 5, timeout: 60_000}
const {signal: never} = new AbortController()

let program: AsyncDisposable & {readonly path: string}
let start: StartTransfer
beforeAll(async () => {
  program = await tempFolder()
  start = await transferProgram(program.path)
})
afterAll(() => program[Symbol.asyncDispose]())

interface Ends {
  readonly archives: Archives
  readonly outgoing: OutgoingDumps
  readonly folder: string
  /** Of the source. */
  readonly port: number
  /** Receives the dump into a folder of that name. */
  readonly receive: (
    name: string,
    options?: Partial<ReceiveOptions> & {maxBytes?: number},
  ) => Promise<ReceivedDump>
}

/** What a source answers a request with. */
type Answer = (
  response: ServerResponse,
  request: {readonly pin: string; readonly data: DataConnections},
  signal: AbortSignal,
) => Promise<void>

/** A node that sends, as its agent does unless it is said otherwise, and one that receives. */
async function withEnds(use: (ends: Ends) => Promise<void>, answer?: Answer): Promise<void> {
  await using folder = await tempFolder()
  const archives = diskArchives(join(folder.path, 'archives'))
  const outgoing = outgoingDumps(join(folder.path, 'outgoing'), archives)
  const over = new AbortController()
  const key = answeringKey(
    () => Promise.resolve(KEY),
    () => 0,
  )
  await key.settled()
  const data = dataConnections()
  const send: Answer = (response, {pin}) =>
    sendDump(UID, response, {outgoing, data, connections: 2, start, pin}, over.signal)
  const server = await serveHttp(0, {
    registry: new Registry(),
    health: {problem: () => undefined, unready: () => undefined},
    peers: {
      key,
      answer: async (request, response) => {
        const pin = z.string().parse(request.headers[PIN_HEADER])
        await (answer ?? send)(response, {pin, data}, over.signal).catch(() => response.destroy())
        return true
      },
    },
    others: {firstByte: DATA_PREAMBLE, take: data.take},
    log: () => undefined,
  })
  const {port} = server
  try {
    await use({
      ...{archives, outgoing, port},
      folder: folder.path,
      receive: async (name, {maxBytes = 2 ** 40, ...options} = {}) => {
        const into = join(folder.path, name)
        await mkdir(into)
        return receiveDump({
          start,
          open: (pin, signal) => ask(port, pin, signal),
          place: () => Promise.resolve({folder: into, maxBytes}),
          signal: never,
          ...options,
        })
      },
    })
  } finally {
    over.abort(new Error('the test is over'))
    server.close()
  }
}

const ask = async (port: number, pin: string, signal: AbortSignal): Promise<OpenedDump> => ({
  host: '127.0.0.1',
  port,
  content: await askPeer({
    ...{host: '127.0.0.1', port, path: '/', key: peerKeyOf(KEY), signal},
    headersOf: () => ({[PIN_HEADER]: pin}),
  }),
})

/** Files below a folder, by their paths. */
async function treeOf(folder: string): Promise<ReadonlyMap<string, string>> {
  const entries = await readdir(folder, {recursive: true, withFileTypes: true})
  const tree = new Map<string, string>()
  for (const entry of entries.filter((one) => one.isFile())) {
    const path = join(entry.parentPath, entry.name)
    tree.set(path.slice(folder.length + 1), hashOf(await readFile(path)))
  }
  return tree
}

const hashOf = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex')

async function put(folder: string, path: string, content: Uint8Array): Promise<void> {
  await mkdir(dirname(join(folder, path)), {recursive: true})
  await writeFile(join(folder, path), content)
}

/** A dump as the agent makes one: grown, claimed, offered. */
async function dumped(ends: Ends, files: Readonly<Record<string, Uint8Array>>, container = 'main') {
  const begun = await ends.archives.beginFolder(UID, container, 'disk')
  for (const [path, content] of Object.entries(files)) await put(begun, path, content)
  await ends.archives.claim(begun, UID, container)
  return offered(ends, [container])
}

async function offered({archives, outgoing}: Ends, containers: readonly string[]) {
  const folders = await Promise.all(
    containers.map(async (name) => ({name, folder: (await archives.folderOf(UID, name)) ?? ''})),
  )
  return outgoing.offer(UID, folders)
}

test('a dump that grows while it is sent arrives as it is at its end, whatever it consists of', async () => {
  const sizes = fc.oneof(
    fc.constantFrom(0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES),
    fc.nat(3 * PIECE_BYTES),
  )
  const name = fc.constantFrom('a', 'b.img', 'core-1.img', 'spec.dump', 'x y', 'ä')
  const path = fc
    .array(name, {minLength: 1, maxLength: 3})
    .map((parts) => parts.map((part, i) => `${i}${part}`).join('/'))
  const container = fc.record({
    pages: fc.array(fc.array(sizes, {minLength: 1, maxLength: 4}), {maxLength: 2}),
    files: fc.uniqueArray(fc.tuple(path, sizes), {maxLength: 5, selector: ([one]) => one.split('/')[0]}),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(container, {minLength: 1, maxLength: 2}), async (containers) => {
      await withEnds(async (ends) => {
        const receiving = ends.receive('in')
        const names = containers.map((_, index) => `c${index}`)
        for (const [index, {pages, files}] of containers.entries()) {
          const begun = await ends.archives.beginFolder(UID, names[index] ?? '', 'disk')
          await mkdir(join(begun, 'checkpoint'))
          for (const [number, parts] of pages.entries())
            for (const bytes of parts) {
              await appendFile(join(begun, `checkpoint/pages-${number + 1}.img`), randomBytes(bytes))
              await new Promise(setImmediate)
            }
          for (const [file, bytes] of files) await put(begun, file, randomBytes(bytes))
          await ends.archives.claim(begun, UID, names[index] ?? '')
        }
        const {digest, sizeBytes} = await offered(ends, names)
        const received = await receiving
        expect(received).toEqual({digest, sizeBytes, containers: names, folder: join(ends.folder, 'in')})
        for (const one of names) {
          const source = (await ends.archives.folderOf(UID, one)) ?? ''
          expect(await treeOf(join(ends.folder, 'in', one)).catch(() => new Map())).toEqual(
            await treeOf(source),
          )
        }
      })
    }),
    {numRuns: 25},
  )
})

test('bytes are sent while the dump still grows', async () => {
  await withEnds(async (ends) => {
    let receivedBytes = 0
    const receiving = ends.receive('in', {onBytes: (bytes) => (receivedBytes = bytes)})
    const begun = await ends.archives.beginFolder(UID, 'main', 'disk')
    await put(begun, PAGES, randomBytes(2 * PIECE_BYTES + 5))
    await expect.poll(() => receivedBytes, SOON).toBe(2 * PIECE_BYTES)
    await ends.archives.claim(begun, UID, 'main')
    const {digest} = await offered(ends, ['main'])
    expect((await receiving).digest).toBe(digest)
  })
})

test('rounds of pre-copy are sent while the next one is made, and arrive as they are', async () => {
  await withEnds(async (ends) => {
    let receivedBytes = 0
    const receiving = ends.receive('in', {onBytes: (bytes) => (receivedBytes = bytes)})
    const begun = await ends.archives.beginFolder(UID, 'main', 'disk')
    let wholeBytes = 0
    for (const [index, round] of ['pre-1', 'pre-2', 'pre-3'].entries()) {
      const pages = randomBytes((4 - index) * PIECE_BYTES + index)
      await put(begun, `checkpoint/${round}/pages-1.img`, pages)
      await put(begun, `checkpoint/${round}/pagemap-1.img`, randomBytes(100))
      // Pieces that may not be whole yet, and pagemaps, are sent when the dump is complete.
      wholeBytes += (4 - index) * PIECE_BYTES
      await expect.poll(() => receivedBytes, SOON).toBe(wholeBytes)
      await expect.poll(() => ends.outgoing.unsentBytes(UID), SOON).toBe(0)
    }
    await put(begun, PAGES, randomBytes(PIECE_BYTES / 2))
    await ends.archives.claim(begun, UID, 'main')
    const {digest} = await offered(ends, ['main'])
    expect((await receiving).digest).toBe(digest)
    const source = (await ends.archives.folderOf(UID, 'main')) ?? ''
    expect(await treeOf(join(ends.folder, 'in', 'main'))).toEqual(await treeOf(source))
    // What the target restores from: CRIU finds each round by links that were not sent.
    const linked = join(ends.folder, 'linked')
    const bounds = {allBytes: 2 ** 40, filesBytes: 2 ** 40}
    await linkDump(join(ends.folder, 'in', 'main'), linked, bounds, never)
    const first = await readFile(join(linked, 'checkpoint/parent/parent/parent/pages-1.img'))
    expect(hashOf(first)).toBe((await treeOf(source)).get('checkpoint/pre-1/pages-1.img'))
  })
})

test('of rounds that were discarded nothing is left on the target', async () => {
  await withEnds(async (ends) => {
    let receivedBytes = 0
    const receiving = ends
      .receive('in', {onBytes: (bytes) => (receivedBytes = bytes)})
      .catch((error: unknown) => {
        if (!(error instanceof RestartedError)) throw error
        return ends.receive('again')
      })
    const begun = await ends.archives.beginFolder(UID, 'main', 'disk')
    await put(begun, 'checkpoint/pre-1/pages-1.img', randomBytes(2 * PIECE_BYTES))
    await expect.poll(() => receivedBytes, SOON).toBe(2 * PIECE_BYTES)
    await discardRounds({id: 'main', folder: begun})
    await put(begun, PAGES, randomBytes(PIECE_BYTES + 7))
    await ends.archives.claim(begun, UID, 'main')
    const {digest} = await offered(ends, ['main'])
    const received = await receiving
    expect(received.digest).toBe(digest)
    const source = (await ends.archives.folderOf(UID, 'main')) ?? ''
    expect(await treeOf(join(received.folder, 'main'))).toEqual(await treeOf(source))
  })
})

test('what was sent of a dump that is begun again does not count', async () => {
  await withEnds(async (ends) => {
    let receivedBytes = 0
    const receiving = ends.receive('in', {onBytes: (bytes) => (receivedBytes = bytes)})
    const first = await ends.archives.beginFolder(UID, 'main', 'disk')
    await put(first, PAGES, randomBytes(2 * PIECE_BYTES))
    await put(first, 'checkpoint/pages-2.img', randomBytes(2 * PIECE_BYTES))
    await expect.poll(() => receivedBytes, SOON).toBe(4 * PIECE_BYTES)
    const refused = expect(receiving).rejects.toThrow(RestartedError)
    await ends.archives.remove(UID)
    const pages = randomBytes(PIECE_BYTES + 7)
    const {digest, sizeBytes} = await dumped(ends, {[PAGES]: pages})
    await refused
    expect(await ends.receive('again')).toEqual({
      ...{digest, sizeBytes, containers: ['main']},
      folder: join(ends.folder, 'again'),
    })
    expect(await treeOf(join(ends.folder, 'again', 'main'))).toEqual(new Map([[PAGES, hashOf(pages)]]))
  })
})

test('an agent that is started again sends the same dump under the same digest', async () => {
  await withEnds(async (ends) => {
    const {digest} = await dumped(ends, {
      [PAGES]: randomBytes(3 * PIECE_BYTES),
      'spec.dump': Buffer.from('{}'),
    })
    const again = outgoingDumps(join(ends.folder, 'outgoing'), ends.archives)
    expect(await again.list()).toEqual([UID])
    const view = await again.view(UID)
    expect(view?.manifest?.length).toBeGreaterThan(0)
    expect(`sha256:${hashOf(view?.manifest ?? Buffer.alloc(0))}`).toBe(digest)
    await again.forget(UID)
    expect(await again.list()).toEqual([])
    expect(
      await outgoingDumps(join(ends.folder, 'outgoing'), diskArchives(ends.folder)).view(UID),
    ).toBeUndefined()
  })
})

test('two offers of one dump have two digests', async () => {
  await withEnds(async (ends) => {
    const {digest} = await dumped(ends, {[PAGES]: Buffer.from('memory')})
    expect((await offered(ends, ['main'])).digest).not.toBe(digest)
  })
})

test('a dump that contains a link is not offered', async () => {
  await withEnds(async (ends) => {
    await dumped(ends, {'config.dump': Buffer.from('{}')})
    await symlink('/etc/passwd', join((await ends.archives.folderOf(UID, 'main')) ?? '', 'spec.dump'))
    await expect(offered(ends, ['main'])).rejects.toMatchObject({code: 'CHECKPOINT_FAILED'})
  })
})

test('a link that takes the place of a file is not followed', async () => {
  await withEnds(async (ends) => {
    await dumped(ends, {'spec.dump': Buffer.from('secrets!')})
    const folder = (await ends.archives.folderOf(UID, 'main')) ?? ''
    await writeFile(join(ends.folder, 'elsewhere'), 'secrets!')
    await rm(join(folder, 'spec.dump'))
    await symlink(join(ends.folder, 'elsewhere'), join(folder, 'spec.dump'))
    await expect(ends.receive('in')).rejects.toMatchObject({code: 'TRANSFER_FAILED'})
  })
})

test('a source that loses its dump in the middle has it requested again', async () => {
  await withEnds(async (ends) => {
    let receivedBytes = 0
    const receiving = ends.receive('in', {onBytes: (bytes) => (receivedBytes = bytes)})
    const begun = await ends.archives.beginFolder(UID, 'main', 'disk')
    await put(begun, PAGES, randomBytes(2 * PIECE_BYTES))
    await expect.poll(() => receivedBytes, SOON).toBe(2 * PIECE_BYTES)
    const refused = expect(receiving).rejects.toThrow(RestartedError)
    await ends.archives.remove(UID)
    await ends.outgoing.forget(UID)
    await refused
  })
})

test('a complete dump of which something is missing is told as a transfer that failed', async () => {
  await withEnds(async (ends) => {
    await dumped(ends, {[PAGES]: randomBytes(3 * PIECE_BYTES)})
    await writeFile(join((await ends.archives.folderOf(UID, 'main')) ?? '', PAGES), 'short')
    await expect(ends.receive('in')).rejects.toMatchObject({code: 'TRANSFER_FAILED'})
  })
})

test('a program of the target that is killed is a transfer that failed, and nothing is written after', async () => {
  await withEnds(async (ends) => {
    const children: ChildProcess[] = []
    let receivedBytes = 0
    const receiving = ends.receive('in', {
      onBytes: (bytes) => (receivedBytes = bytes),
      start: async (...words) => {
        const child = await start(...words)
        children.push(child)
        return child
      },
    })
    const begun = await ends.archives.beginFolder(UID, 'main', 'disk')
    await put(begun, PAGES, randomBytes(2 * PIECE_BYTES))
    await expect.poll(() => receivedBytes, SOON).toBe(2 * PIECE_BYTES)
    children[0]?.kill('SIGKILL')
    await expect(receiving).rejects.toMatchObject({code: 'TRANSFER_FAILED'})
    await expect.poll(() => processesOf(program.path), SOON).toEqual([])
  })
})

test('both programs end with an agent that is killed', async () => {
  const path = (await readdir(join(program.path, 'store'))).map((name) =>
    join(program.path, 'store', name),
  )[0]
  const script = `require('node:child_process').spawn(${JSON.stringify(path)}, ['receive-dump'], {stdio: 'inherit'})`
  // Its input stays open here: it is not the end of that which it notices.
  const agent = spawn(process.execPath, ['-e', script], {stdio: ['pipe', 'pipe', 'inherit']})
  await new Promise((resolve) => agent.stdout.once('data', resolve))
  expect(await processesOf(program.path)).toHaveLength(1)
  agent.kill('SIGKILL')
  await expect.poll(() => processesOf(program.path), SOON).toEqual([])
  agent.stdin.destroy()
})

test('room that is told with a fraction of a byte is room', async () => {
  await withEnds(async (ends) => {
    const {digest} = await dumped(ends, {[PAGES]: randomBytes(5)})
    expect(await ends.receive('in', {maxBytes: PIECE_BYTES + 0.4})).toMatchObject({digest})
  })
})

test('what is larger than there is room for is refused with the number', async () => {
  await withEnds(async (ends) => {
    await dumped(ends, {[PAGES]: randomBytes(4 * PIECE_BYTES)})
    await expect(ends.receive('in', {maxBytes: 3 * PIECE_BYTES})).rejects.toMatchObject({
      code: 'TOO_LARGE',
      message: expect.stringContaining(`${3 * PIECE_BYTES} bytes`) as string,
    })
  })
})

test('a transfer that is given up ends at once', async () => {
  await withEnds(async (ends) => {
    const over = new AbortController()
    let receivedBytes = 0
    const receiving = ends.receive('in', {signal: over.signal, onBytes: (bytes) => (receivedBytes = bytes)})
    const begun = await ends.archives.beginFolder(UID, 'main', 'disk')
    await put(begun, PAGES, randomBytes(PIECE_BYTES))
    await expect.poll(() => receivedBytes, SOON).toBe(PIECE_BYTES)
    over.abort(new Error('not wanted any more'))
    await expect(receiving).rejects.toThrow('not wanted any more')
  })
})

/** A source that has the real program send a file `main/a`, and says what it likes. */
interface Liar {
  readonly response: ServerResponse
  /** Its connections and its program, once the target has connected. */
  readonly connected: () => Promise<TransferProgram<unknown>>
  readonly say: (frame: object, body?: Uint8Array) => void
}

const A = Buffer.from('memory')
const CRC = crc32(Buffer.from(new Uint32Array([crc32(A)]).buffer).swap32())
const FILE = {container: 'main', path: 'a', sizeBytes: A.length}

/** A request that a lying source answers. */
async function lied(
  lie: (liar: Liar) => Promise<void> | void,
  use: (received: Promise<ReceivedDump>, ends: Ends) => Promise<void>,
  options: Partial<ReceiveOptions> & {maxBytes?: number} = {},
): Promise<void> {
  await using folder = await tempFolder()
  await writeFile(join(folder.path, 'a'), A)
  await withEnds(
    async (ends) => use(ends.receive('in', options), ends),
    async (response, {pin, data}, signal) => {
      response.useChunkedEncodingByDefault = false
      response.writeHead(200).flushHeaders()
      const say = (frame: object, body: Uint8Array = Buffer.alloc(0)): void =>
        void response.write(Buffer.concat([raw(frame), body]))
      const connected = async (): Promise<TransferProgram<unknown>> => {
        const {id, sockets} = data.expect(1, signal)
        say({type: 'connect', id, connections: 1})
        const made = await sockets
        const child = await start(['send-dump', '--peer', pin, '--connections', '1'], {sockets: made, signal})
        for (const socket of made) socket.destroy()
        const own = Promise.withResolvers<string>()
        const sender = new TransferProgram<unknown>(child, z.unknown(), (said) => {
          const {data: found} = z.looseObject({pin: pinSchema}).safeParse(said)
          if (found !== undefined) own.resolve(found.pin)
        })
        say({type: 'pin', pin: await own.promise})
        sender.tell({
          send: {number: 1, folder: folder.path, container: 'main', path: 'a', offset: 0, length: A.length},
        })
        return sender
      }
      await lie({response, connected, say})
    },
  )
}

const raw = (header: object): Buffer => {
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(text.length)
  return Buffer.concat([length, text])
}
const manifestOf = (files: readonly object[], containers = ['main']): Buffer =>
  Buffer.from(JSON.stringify({attempt: 'a'.repeat(64), containers, files}))

/** All that a source says, with another manifest, or other checksums. */
const listing =
  (files: readonly object[], containers?: string[], sums: unknown = files.map(() => CRC)) =>
  async ({connected, say}: Liar): Promise<void> => {
    const sender = await connected()
    say({type: 'begin', sizeBytes: 0})
    sender.tell({end: true})
    await sender.ended
    const listed = Buffer.from(JSON.stringify(sums))
    say({type: 'sums', length: listed.length}, listed)
    const manifest = manifestOf(files, containers)
    say({type: 'end', length: manifest.length}, manifest)
  }

test('what the tests of lying sources begin with is accepted', async () => {
  await lied(listing([FILE]), async (received) => {
    expect(await received).toMatchObject({sizeBytes: A.length, containers: ['main']})
  })
})

test.each([
  ['a file that is not listed', [] as object[]],
  ['a file that is missing', [FILE, {...FILE, path: 'b'}]],
  ['a file of another size', [{...FILE, sizeBytes: 7}]],
  ['a file that is listed twice', [FILE, FILE]],
  ['a path that leads out', [{...FILE, path: '../a'}]],
])('a manifest with %s is refused', async (_, files) => {
  await lied(listing(files), async (received) => {
    await expect(received).rejects.toMatchObject({code: 'TRANSFER_FAILED'})
  })
})

test.each([
  ['of another content', [1]],
  ['of more files', [CRC, CRC]],
  ['of no file', []],
  ['that are no numbers', {main: CRC}],
])('checksums %s are refused', async (_, sums) => {
  await lied(listing([FILE], undefined, sums), async (received) => {
    await expect(received).rejects.toMatchObject({code: 'TRANSFER_FAILED'})
  })
})

test('a container that is not listed is refused', async () => {
  await lied(listing([FILE], ['other']), async (received) => {
    await expect(received).rejects.toThrow('container main is not listed')
  })
})

const ENDLESS = Buffer.from([255, 255, 255, 255])
const lies: [string, (liar: Liar) => Promise<void> | void, string | RegExp][] = [
  ['a frame that is none', ({say}) => say({type: 'hello'}), 'an invalid header'],
  ['a header without end', ({response}) => void response.write(ENDLESS), 'a header of 4294967295 bytes'],
  [
    'too many connections',
    ({say}) => say({type: 'connect', id: 'a'.repeat(64), connections: 1000}),
    'invalid',
  ],
  ['an id that is none', ({say}) => say({type: 'connect', id: 'x', connections: 1}), 'invalid'],
  [
    'two sets of connections',
    async ({connected}) => {
      await connected()
      await connected()
    },
    'a command came twice',
  ],
  [
    'two beginnings',
    async ({connected, say}) => {
      await connected()
      say({type: 'begin', sizeBytes: 0})
      say({type: 'begin', sizeBytes: 0})
    },
    'the beginning of the dump twice',
  ],
  [
    'no beginning',
    async ({connected, say}) => {
      const sender = await connected()
      sender.tell({end: true})
      const manifest = manifestOf([FILE])
      say({type: 'end', length: manifest.length}, manifest)
    },
    'sent nothing for 0.3 s',
  ],
  [
    'something after the end',
    async ({connected, response}) => {
      await connected()
      const manifest = manifestOf([FILE])
      response.write(
        Buffer.concat([
          raw({type: 'begin', sizeBytes: 0}),
          raw({type: 'end', length: manifest.length}),
          manifest,
          raw({type: 'alive'}),
        ]),
      )
    },
    'something after the end',
  ],
  [
    'half a frame after the end',
    async ({connected, response}) => {
      await connected()
      const manifest = manifestOf([FILE])
      response.write(
        Buffer.concat([
          raw({type: 'begin', sizeBytes: 0}),
          raw({type: 'end', length: manifest.length}),
          manifest,
          Buffer.from([0]),
        ]),
      )
    },
    'something after the end',
  ],
  [
    'an end before all files have come',
    async ({connected, say}) => {
      await connected()
      const manifest = manifestOf([FILE])
      say({type: 'begin', sizeBytes: 0})
      say({type: 'end', length: manifest.length}, manifest)
    },
    'sent nothing for 0.3 s',
  ],
  [
    'a program that is killed',
    async ({connected, say}) => {
      const sender = await connected()
      say({type: 'begin', sizeBytes: 0})
      await sender[Symbol.asyncDispose]()
    },
    /broke|could not be secured/,
  ],
  ['nothing', ({response}) => void response.end(), 'ended before all was received'],
  ['a key that is none', ({say}) => say({type: 'pin', pin: 'x'}), 'invalid'],
]
test.each(lies)('a source that sends %s is refused', async (_, lie, why) => {
  await lied(
    lie,
    async (received, {folder}) => {
      await expect(received).rejects.toThrow(why)
      expect((await readdir(folder)).sort()).toEqual(['in'])
      await expect.poll(() => processesOf(program.path), SOON).toEqual([])
    },
    {silenceMs: 300},
  )
})

/** Programs that were started from a folder and run. */
async function processesOf(folder: string): Promise<readonly string[]> {
  const found: string[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (line.startsWith(folder) && /receive-dump|send-dump/.test(line)) found.push(pid)
  }
  return found
}

test('a dump that is larger than what is free is refused before any of it comes', async () => {
  await lied(
    async ({connected, say}) => {
      await connected()
      say({type: 'begin', sizeBytes: 1001})
    },
    async (received, {folder}) => {
      await expect(received).rejects.toMatchObject({code: 'TOO_LARGE'})
      expect(await readdir(join(folder, 'in'))).toEqual([])
    },
    {maxBytes: 1000},
  )
})

test('a transfer that is given up while its place is made ends when that is done', async () => {
  await withEnds(async (ends) => {
    const over = new AbortController()
    const place = Promise.withResolvers<{folder: string; maxBytes: number}>()
    const asked = Promise.withResolvers<unknown>()
    let hasEnded = false
    const receiving = ends.receive('in', {
      signal: over.signal,
      place: () => {
        asked.resolve(undefined)
        return place.promise
      },
    })
    const refused = expect(receiving.finally(() => (hasEnded = true))).rejects.toThrow('not wanted any more')
    await ends.archives.beginFolder(UID, 'main', 'disk')
    await asked.promise
    over.abort(new Error('not wanted any more'))
    await expect.poll(() => processesOf(program.path), SOON).toEqual([])
    expect(hasEnded).toBe(false)
    place.resolve({folder: join(ends.folder, 'in'), maxBytes: 1})
    await refused
  })
})

test('frames arrive whole, however the bytes are cut', () => {
  const frames: Frame[] = [{type: 'alive'}, {type: 'begin', sizeBytes: 7}, {type: 'end', length: A.length}]
  const all = Buffer.concat([...frames.map(headerOf), A])
  fc.assert(
    fc.property(fc.array(fc.integer({min: 1, max: 40}), {minLength: 1}), (cuts) => {
      const taken: (Frame | string)[] = []
      const reader = new FrameReader((frame, body) => taken.push(frame, body.toString()))
      for (let at = 0, index = 0; at < all.length; index += 1) {
        const length = cuts[index % cuts.length] ?? 1
        reader.push(all.subarray(at, at + length))
        at += length
      }
      expect(taken).toEqual(frames.flatMap((frame) => [frame, frame.type === 'end' ? 'memory' : '']))
    }),
  )
})

/** Connects as a receiver does, and gives whether the other side closed it. */
const connection = async (port: number, bytes: Buffer): Promise<Socket> => {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined).resume()
  await new Promise<void>((resolve) => socket.write(bytes, () => resolve()))
  return socket
}
const closed = (socket: Socket): Promise<void> =>
  socket.closed ? Promise.resolve() : new Promise((resolve) => socket.once('close', () => resolve()))

const preamble = (id: string): Buffer => Buffer.concat([Buffer.from([DATA_PREAMBLE]), Buffer.from(id, 'hex')])

test('a connection with an id that was not drawn, was used, or has more behind it, is closed', async () => {
  const data = dataConnections()
  const server = await serveHttp(0, {
    registry: new Registry(),
    health: {problem: () => undefined, unready: () => undefined},
    others: {firstByte: DATA_PREAMBLE, take: data.take},
    log: () => undefined,
  })
  try {
    await closed(await connection(server.port, preamble('ab'.repeat(32))))
    const {id, sockets} = data.expect(1, never)
    await closed(await connection(server.port, Buffer.concat([preamble(id), Buffer.from('early')])))
    const slow = await connection(server.port, preamble(id).subarray(0, 7))
    await new Promise((resolve) => setTimeout(resolve, 20))
    slow.write(preamble(id).subarray(7))
    expect(await sockets).toHaveLength(1)
    await closed(await connection(server.port, preamble(id)))
    slow.destroy()
  } finally {
    server.close()
  }
})

test('connections that do not come, or send no id, are not waited for without end', async () => {
  const data = dataConnections({connectMs: 1000})
  const server = await serveHttp(0, {
    registry: new Registry(),
    health: {problem: () => undefined, unready: () => undefined},
    others: {firstByte: DATA_PREAMBLE, take: data.take},
    log: () => undefined,
  })
  try {
    const {id, sockets} = data.expect(2, never)
    const first = await connection(server.port, preamble(id))
    await expect(sockets).rejects.toThrow(/the target made [01] of 2 connections/)
    await closed(first)
    await closed(await connection(server.port, preamble(id)))
    await closed(await connection(server.port, preamble(id).subarray(0, 7)))
    const many = await Promise.all(
      Array.from({length: 80}, () => connection(server.port, Buffer.from([DATA_PREAMBLE]))),
    )
    await Promise.all(many.map(closed))
  } finally {
    server.close()
  }
})

/** Its connections are gone before it says why; the source has ended the response by then. */
const FULL_LATER = `
  console.log(JSON.stringify({pin: 'a'.repeat(64)}))
  setTimeout(() => {
    console.log(JSON.stringify({failed: 'Full'}))
    process.exit(1)
  }, 300)`

test('a target whose disk is full says so, also when the source has ended the transfer before', async () => {
  await using folder = await tempFolder()
  const received = receiveDump({
    start: () => Promise.resolve(spawn(process.execPath, ['-e', FULL_LATER])),
    open: () =>
      Promise.resolve({content: Readable.from([headerOf({type: 'begin', sizeBytes: 1})]), host: '', port: 0}),
    place: () => Promise.resolve({folder: folder.path, maxBytes: 1024}),
    signal: never,
  })
  await expect(received).rejects.toMatchObject({code: 'TOO_LARGE'})
})
