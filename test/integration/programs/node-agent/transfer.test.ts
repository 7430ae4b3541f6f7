import fc from 'fast-check'
import {createHash, randomBytes} from 'node:crypto'
import {appendFile, mkdir, readdir, readFile, rm, symlink, writeFile} from 'node:fs/promises'
import type {Server} from 'node:https'
import type {IncomingMessage} from 'node:http'
import {dirname, join} from 'node:path'
import {Readable} from 'node:stream'
import {crc32} from 'node:zlib'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {answeringKey, askPeer, peerKeyOf, peerServer} from '../../../../src/operator/peer-tls.ts'
import {diskArchives, type Archives} from '../../../../src/programs/node-agent/archives.ts'
import {headerOf, PIECE_BYTES, type Frame} from '../../../../src/programs/node-agent/transfer/frames.ts'
import {outgoingDumps, type OutgoingDumps} from '../../../../src/programs/node-agent/transfer/outgoing.ts'
import {receiveDump} from '../../../../src/programs/node-agent/transfer/receive.ts'
import {sendDump} from '../../../../src/programs/node-agent/transfer/send.ts'
import {tempFolder} from '../../../support/temp-folder.ts'

const UID = '59002284-99ba-40ea-be82-c5dfb31d88b6'
const KEY = Buffer.alloc(32, 7).toString('base64')
const PAGES = 'checkpoint/pages-1.img'
const addressSchema = z.looseObject({port: z.int()})
const {signal: never} = new AbortController()

interface Ends {
  readonly archives: Archives
  readonly outgoing: OutgoingDumps
  readonly folder: string
  /** Receives the dump into a folder of that name. */
  readonly receive: (
    name: string,
    options?: {maxBytes?: number; signal?: AbortSignal; onBytes?: (bytes: number) => void},
  ) => ReturnType<typeof receiveDump>
}

/** A node that sends, as its agent does, and one that receives. */
async function withEnds(use: (ends: Ends) => Promise<void>): Promise<void> {
  await using folder = await tempFolder()
  const archives = diskArchives(join(folder.path, 'archives'))
  const outgoing = outgoingDumps(join(folder.path, 'outgoing'), archives)
  const over = new AbortController()
  const key = answeringKey(
    () => Promise.resolve(KEY),
    () => 0,
  )
  await key.settled()
  const server = peerServer(key, (request, response) => {
    sendDump(UID, response, outgoing, over.signal).catch(() => undefined)
  })
  const port = await listening(server)
  try {
    await use({
      archives,
      outgoing,
      folder: folder.path,
      receive: async (name, {maxBytes = 2 ** 40, signal = never, onBytes} = {}) => {
        const response = await ask(port, signal)
        const into = join(folder.path, name)
        await mkdir(into)
        return receiveDump(response, {
          ...{place: () => Promise.resolve({folder: into, maxBytes}), signal},
          ...(onBytes === undefined ? {} : {onBytes}),
        })
      },
    })
  } finally {
    over.abort(new Error('the test is over'))
    server.closeAllConnections()
    server.close()
  }
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return addressSchema.parse(server.address()).port
}

const ask = (port: number, signal: AbortSignal): Promise<IncomingMessage> =>
  askPeer({host: '127.0.0.1', port, path: '/', key: peerKeyOf(KEY), signal, headersOf: () => ({})})

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
  return outgoing.offer(UID, folders, never)
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
    await expect.poll(() => receivedBytes, {interval: 5}).toBe(2 * PIECE_BYTES)
    await ends.archives.claim(begun, UID, 'main')
    const {digest} = await offered(ends, ['main'])
    expect((await receiving).digest).toBe(digest)
  })
})

test('what was sent of a dump that is begun again does not count', async () => {
  await withEnds(async (ends) => {
    let receivedBytes = 0
    const receiving = ends.receive('in', {onBytes: (bytes) => (receivedBytes = bytes)})
    const first = await ends.archives.beginFolder(UID, 'main', 'disk')
    await put(first, PAGES, randomBytes(2 * PIECE_BYTES))
    await put(first, 'checkpoint/pages-2.img', randomBytes(2 * PIECE_BYTES))
    await expect.poll(() => receivedBytes, {interval: 5}).toBe(4 * PIECE_BYTES)
    await ends.archives.remove(UID)
    const pages = randomBytes(PIECE_BYTES + 7)
    const {digest, sizeBytes} = await dumped(ends, {[PAGES]: pages})
    expect(await receiving).toEqual({
      ...{digest, sizeBytes, containers: ['main']},
      folder: join(ends.folder, 'in'),
    })
    expect(await treeOf(join(ends.folder, 'in', 'main'))).toEqual(new Map([[PAGES, hashOf(pages)]]))
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

test('a source that loses its dump in the middle is told as a transfer that failed', async () => {
  await withEnds(async (ends) => {
    await dumped(ends, {[PAGES]: randomBytes(64 * PIECE_BYTES)})
    const gone = async () => {
      await ends.archives.remove(UID)
      await ends.outgoing.forget(UID)
    }
    let hasGone = false
    const receiving = ends.receive('in', {
      onBytes: () => {
        if (!hasGone) void gone()
        hasGone = true
      },
    })
    await expect(receiving).rejects.toMatchObject({code: 'TRANSFER_FAILED'})
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
    await expect.poll(() => receivedBytes, {interval: 5}).toBe(PIECE_BYTES)
    over.abort(new Error('not wanted any more'))
    await expect(receiving).rejects.toThrow('not wanted any more')
  })
})

const BEGIN = headerOf({type: 'begin', sizeBytes: 0})
const inFolder = (folder: string, maxBytes = 1e9) => ({
  place: () => Promise.resolve({folder, maxBytes}),
  signal: never,
})

const piece = (path: string, content: Uint8Array, offset = 0, crc = crc32(content)): Buffer =>
  Buffer.concat([
    headerOf({type: 'piece', container: 'main', path, offset, length: content.length, crc}),
    content,
  ])

function end(files: readonly {path: string; content: Uint8Array}[]): Buffer {
  const bytes = Buffer.alloc(4)
  const listed = files.map(({path, content}) => {
    bytes.writeUInt32BE(crc32(content))
    return {container: 'main', path, sizeBytes: content.length, crc: crc32(bytes)}
  })
  const text = JSON.stringify({attempt: 'a'.repeat(64), containers: ['main'], files: listed})
  return Buffer.concat([headerOf({type: 'end', length: Buffer.byteLength(text)}), Buffer.from(text)])
}

const A = Buffer.from('memory')
const whole = end([{path: 'a', content: A}])
const raw = (header: object): Buffer => {
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(text.length)
  return Buffer.concat([length, text])
}
const forged = (path: string, container = 'main'): Buffer =>
  Buffer.concat([raw({type: 'piece', container, path, offset: 0, length: A.length, crc: crc32(A)}), A])

test.each([
  ['a path that leads out', [forged('../a'), whole]],
  ['an absolute path', [forged('/a'), whole]],
  ['a path with an empty part', [forged('x//a'), whole]],
  ['a container that leads out', [forged('a', '..'), whole]],
  ['a container with a slash', [forged('a', 'x/y'), whole]],
  ['bytes that were changed', [piece('a', A, 0, 1), whole]],
  ['bytes that leave something out', [piece('a', A), piece('a', A, 4096), whole]],
  ['bytes twice', [piece('a', A), piece('a', A), whole]],
  ['bytes after a piece that ended its file', [piece('a', A), piece('a', A, A.length), whole]],
  ['a file that is not listed', [piece('a', A), piece('b', A), whole]],
  ['a file that is missing', [whole]],
  ['a file of another content', [piece('a', Buffer.from('memorY')), whole]],
  ['a file where a folder is', [piece('a/b', A), piece('a', A), whole]],
  ['no end', [piece('a', A)]],
  ['half a frame after the end', [piece('a', A), Buffer.concat([whole, Buffer.from([0, 0])])]],
  ['a frame after the end', [piece('a', A), Buffer.concat([whole, headerOf({type: 'alive'})])]],
  ['a frame that is none', [raw({type: 'hello'})]],
  ['a header without end', [Buffer.from([255, 255, 255, 255])]],
  [
    'a piece that is too long',
    [raw({type: 'piece', container: 'main', path: 'a', offset: 0, length: 2 ** 31, crc: 0})],
  ],
  ['nothing', []],
] as [string, Buffer[]][])('%s is refused', async (_, frames) => {
  await using folder = await tempFolder()
  const into = join(folder.path, 'in')
  await mkdir(into)
  await expect(
    receiveDump(Readable.from([BEGIN, ...frames], {objectMode: false}), inFolder(into)),
  ).rejects.toThrow()
  expect(await readdir(folder.path)).toEqual(['in'])
})

test('frames arrive whole, however the bytes are cut', async () => {
  const all = Buffer.concat([
    BEGIN,
    headerOf({type: 'alive'}),
    piece('a', A),
    headerOf({type: 'alive'}),
    whole,
  ])
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({min: 1, max: 40}), {minLength: 1}), async (cuts) => {
      await using folder = await tempFolder()
      const parts: Buffer[] = []
      for (let at = 0, index = 0; at < all.length; index += 1) {
        const length = cuts[index % cuts.length] ?? 1
        parts.push(all.subarray(at, at + length))
        at += length
      }
      const content = Readable.from(parts, {objectMode: false})
      const received = await receiveDump(content, inFolder(folder.path))
      expect(received.sizeBytes).toBe(A.length)
      expect(await treeOf(folder.path)).toEqual(new Map([['main/a', hashOf(A)]]))
    }),
    {numRuns: 30},
  )
})

test('a restart in the middle of a transfer empties what was received', async () => {
  await using folder = await tempFolder()
  const restart: Frame = {type: 'restart'}
  const into = join(folder.path, 'in')
  await mkdir(into)
  const content = Readable.from(
    [
      ...[BEGIN, piece('b', A), piece('a', Buffer.from('old'))],
      ...[headerOf(restart), BEGIN, piece('a', A), whole],
    ],
    {
      objectMode: false,
    },
  )
  await receiveDump(content, inFolder(into))
  expect(await treeOf(into)).toEqual(new Map([['main/a', hashOf(A)]]))
})

test('bytes before the beginning of a dump, and a dump that is larger than what is free, are refused', async () => {
  await using folder = await tempFolder()
  const received = (frames: readonly Buffer[], maxBytes: number): Promise<unknown> =>
    receiveDump(Readable.from(frames, {objectMode: false}), inFolder(folder.path, maxBytes))
  await expect(received([piece('a', A), whole], 1e9)).rejects.toThrow('did not say that the dump begins')
  const announced = headerOf({type: 'begin', sizeBytes: 1001})
  await expect(received([announced, piece('a', A), whole], 1000)).rejects.toMatchObject({code: 'TOO_LARGE'})
  expect(await readdir(folder.path)).toEqual([])
})
