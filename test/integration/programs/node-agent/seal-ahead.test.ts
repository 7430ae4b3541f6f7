import {randomBytes} from 'node:crypto'
import {appendFile, mkdir, readdir, readlink, rename, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {checkpointStatusSchema} from '../../../../src/api/resources.ts'
import {digestSchema} from '../../../../src/api/sealed-checkpoint.ts'
import {openCheckpoint} from '../../../../src/checkpoint/sealed/open.ts'
import {pieceCipher} from '../../../../src/checkpoint/sealed/pieces.ts'
import {diskArchives} from '../../../../src/programs/node-agent/archives.ts'
import {checkpointRef} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import {sealsAhead, withSealsAhead} from '../../../../src/programs/node-agent/seal-ahead.ts'
import {FakeNode, Life, POD} from '../../../support/fake-node.ts'
import {memoryBlobs, type MemoryBlobsOptions} from '../../../support/memory-blobs.ts'
import {metadataOf, newKeyring} from '../../../support/sealed-checkpoint.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const UID = '0b1f3c9a-5f7e-4b39-9f0b-2f6f1d1c3f10'
const DUMP = {uid: UID, namespace: 'default', storeName: 'default'}
const MIB = 2 ** 20

/** Its pieces may be there only until the next one. */
async function whole(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of stream) parts.push(Buffer.from(part))
  return Buffer.concat(parts)
}

/** A node's dumps on a disk, and a store. */
async function sceneIn(folder: string, options: MemoryBlobsOptions = {}) {
  const blobs = memoryBlobs(options)
  const keyring = await newKeyring()
  const {keys, signer, wrappers} = keyring
  const opened = {blobs, keys: {sealing: keys, signer, wrappers, trust: [signer.publicKey]}}
  const ended = new AbortController()
  const dumps = diskArchives(folder)
  const logged: string[] = []
  const stores = {opens: 0, open: () => Promise.resolve(((stores.opens += 1), opened))}
  const ahead = sealsAhead({
    stores,
    ciphers: pieceCipher,
    dumps,
    log: (_, message) => logged.push(message),
    signal: ended.signal,
  })
  return {blobs, keyring, opened, ended, dumps, ahead, logged, archives: withSealsAhead(dumps, ahead)}
}
type Scene = Awaited<ReturnType<typeof sceneIn>>

/** Begins a dump of a container, as the agent does. */
async function begun(scene: Scene, container = 'app'): Promise<string> {
  scene.archives.expect(UID, 0)
  scene.ahead.begin(DUMP)
  const folder = await scene.archives.beginFolder(UID, container, 'disk')
  await mkdir(join(folder, 'checkpoint'))
  return folder
}

/** What is sealed ahead, and the rest of the archive, opens to the archive as it is on the disk. */
async function expectSealed({ahead, archives, blobs, keyring}: Scene, containers = ['app']) {
  const {signal} = new AbortController()
  const taken = await ahead.take(UID)
  if (taken === undefined) throw new Error('nothing was sealed ahead')
  const before = blobs.objects.size
  const {digest} = await taken.sealing.finish({
    metadata: metadataOf(containers),
    archives: new Map(
      containers.map((name) => [name, () => archives.readRest(UID, name, taken.ofContainer(name))] as const),
    ),
    signer: keyring.signer,
    name: 'default-web',
    signal,
  })
  const trust = [keyring.signer.publicKey]
  const opened = await openCheckpoint({store: blobs, digest, keys: keyring.wrappers, trust, signal})
  for (const name of containers) {
    const onDisk = await whole(archives.read(UID, name))
    expect((await whole(opened.archive(name))).equals(onDisk)).toBe(true)
  }
  return {taken, before}
}

const blobsOf = ({blobs}: Scene): number =>
  [...blobs.objects.keys()].filter((key) => key.startsWith('blobs/')).length

test('pages are in the store while more are written, and the rest follows when the dump is whole', async () => {
  await withTempFolder(async (disk) => {
    const scene = await sceneIn(disk)
    const folder = await begun(scene)
    const pages = join(folder, 'checkpoint/pages-1.img')
    await appendFile(pages, randomBytes(9 * MIB))
    await expect.poll(() => blobsOf(scene), {timeout: 10_000}).toBeGreaterThan(1)
    // In parts that end within pages, as a write that is under way does.
    for (const bytes of [1000, 3 * MIB, 5 * MIB + 3096]) await appendFile(pages, randomBytes(bytes))
    await writeFile(
      join(folder, 'checkpoint/pages-2.img'),
      Buffer.concat([Buffer.alloc(5 * MIB), randomBytes(3 * MIB)]),
    )
    await writeFile(join(folder, 'config.dump'), 'small')
    await scene.archives.claim(folder, UID, 'app')
    await expect.poll(() => blobsOf(scene), {timeout: 10_000}).toBeGreaterThan(4)
    const {taken} = await expectSealed(scene)
    expect(taken.ofContainer('app').get('checkpoint/pages-1.img')?.sizeBytes).toBeGreaterThan(4 * MIB)
    expect(
      scene.blobs.calls.filter(({operation, key}) => operation === 'write' && key.startsWith('blobs/'))
        .length,
    ).toBe(blobsOf(scene))
    // It is given once.
    expect(await scene.ahead.take(UID)).toBeUndefined()
  })
})

test('what a dump that was begun again had sealed before does not count', async () => {
  await withTempFolder(async (disk) => {
    const scene = await sceneIn(disk)
    const first = await begun(scene)
    await writeFile(join(first, 'checkpoint/pages-1.img'), randomBytes(9 * MIB))
    await expect.poll(() => blobsOf(scene), {timeout: 10_000}).toBeGreaterThan(1)
    await scene.archives.remove(UID)
    const left = blobsOf(scene)
    const second = await begun(scene)
    await writeFile(join(second, 'checkpoint/pages-1.img'), randomBytes(6 * MIB))
    await scene.archives.claim(second, UID, 'app')
    await expect.poll(() => blobsOf(scene), {timeout: 10_000}).toBeGreaterThan(left)
    const {taken} = await expectSealed(scene)
    expect(taken.sealing.storedBytes).toBeLessThan(7 * MIB)
  })
})

test('a dump that is removed puts nothing any more, and its files are closed', async () => {
  await withTempFolder(async (disk) => {
    const scene = await sceneIn(disk)
    const folder = await begun(scene)
    await writeFile(join(folder, 'checkpoint/pages-1.img'), randomBytes(40 * MIB))
    await expect.poll(() => blobsOf(scene), {timeout: 10_000}).toBeGreaterThan(0)
    await scene.archives.remove(UID)
    const left = blobsOf(scene)
    const open = await Promise.all(
      (await readdir('/proc/self/fd')).map((fd) => readlink(join('/proc/self/fd', fd)).catch(() => '')),
    )
    expect(open.filter((path) => path.includes(disk))).toEqual([])
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(blobsOf(scene)).toBe(left)
    expect(await scene.ahead.take(UID)).toBeUndefined()
  })
})

test('a dump whose files are others than those that were read is sealed from its beginning', async () => {
  await withTempFolder(async (disk) => {
    const scene = await sceneIn(disk)
    const folder = await begun(scene)
    const pages = join(folder, 'checkpoint/pages-1.img')
    await writeFile(pages, randomBytes(9 * MIB))
    await expect.poll(() => blobsOf(scene), {timeout: 10_000}).toBeGreaterThan(1)
    await writeFile(`${pages}.new`, randomBytes(9 * MIB))
    await rename(`${pages}.new`, pages)
    await scene.archives.claim(folder, UID, 'app')
    expect(await scene.ahead.take(UID)).toBeUndefined()
  })
})

test('a store that refuses during the dump is no failure of it', async () => {
  await withTempFolder(async (disk) => {
    const scene = await sceneIn(disk, {
      fault: ({operation}) => (operation === 'write' ? 'refused' : undefined),
    })
    const folder = await begun(scene)
    await writeFile(join(folder, 'checkpoint/pages-1.img'), randomBytes(9 * MIB))
    await expect
      .poll(() => scene.logged, {timeout: 10_000})
      .toEqual(['could not encrypt a dump while it was written'])
    await scene.archives.claim(folder, UID, 'app')
    expect(await scene.ahead.take(UID)).toBeUndefined()
  })
})

test('a store that does not answer during the dump is not waited for when the dump is whole', async () => {
  await withTempFolder(async (disk) => {
    const never = new Promise<undefined>(() => undefined)
    let calls = 0
    const scene = await sceneIn(disk, {fault: () => ((calls += 1), never)})
    const folder = await begun(scene)
    await writeFile(join(folder, 'checkpoint/pages-1.img'), randomBytes(30 * MIB))
    await expect.poll(() => calls, {timeout: 10_000}).toBeGreaterThan(0)
    await scene.archives.claim(folder, UID, 'app')
    const taking = scene.ahead.take(UID)
    expect(
      await Promise.race([taking, new Promise((resolve) => setTimeout(() => resolve('waits'), 2000))]),
    ).toBeUndefined()
  })
})

test.each(['Freeze', 'Delete'])(
  'a checkpoint whose pod is to end (%s) is sealed ahead, and opens to its dump',
  async (podPolicy) => {
    await withTempFolder(async (folder) => {
      const node = new FakeNode(folder, ['one', 'two'])
      node.dumpWay = 'Direct'
      node.members = {
        'checkpoint/pages-1.img': randomBytes(6 * MIB),
        'checkpoint/pages-2.img': randomBytes(100_000),
        'rootfs-diff.tar': randomBytes(200_000),
      }
      const name = {namespace: POD.namespace, name: 'nightly'}
      node.ask(name.name, {podPolicy})
      const {signal} = new AbortController()
      const tools = node.tools(new Life(), signal)
      let sealedBytes = 0
      const onDisk = new Map<string, Buffer>()
      const ahead: typeof tools.ahead = {
        ...tools.ahead,
        take: async (uid) => {
          // As long as a larger dump would be followed.
          await expect.poll(() => node.blobs.objects.size, {timeout: 10_000}).toBeGreaterThan(1)
          for (const container of ['one', 'two'])
            onDisk.set(container, await whole(node.archives.read(uid, container)))
          const taken = await tools.ahead.take(uid)
          for (const {sizeBytes} of taken?.ofContainer('one').values() ?? []) sealedBytes += sizeBytes
          return taken
        },
      }
      await reconcileCheckpoint(name, {...tools, ahead})
      const object = await node.kube.get(checkpointRef(name))
      const status = checkpointStatusSchema.parse(object?.['status'])
      expect(status.message).toMatch(/^stored in/)
      expect(sealedBytes).toBeGreaterThan(MIB)
      const {blobs, keys} = await tools.stores.open('default', {signal})
      const digest = digestSchema.parse(status.digest)
      const opened = await openCheckpoint({
        store: blobs,
        digest,
        keys: keys.wrappers,
        trust: keys.trust,
        signal,
      })
      for (const container of ['one', 'two']) {
        const archive = await whole(opened.archive(container))
        expect(archive.equals(onDisk.get(container) ?? Buffer.alloc(0))).toBe(true)
      }
    })
  },
)

test('a dump whose pod runs on has the processors to itself', async () => {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    node.dumpWay = 'Direct'
    node.ask('nightly', {podPolicy: 'Resume'})
    const tools = node.tools(new Life(), new AbortController().signal)
    const begin: string[] = []
    const ahead = {...tools.ahead, begin: ({uid}: {uid: string}) => void begin.push(uid)}
    await reconcileCheckpoint({namespace: POD.namespace, name: 'nightly'}, {...tools, ahead})
    expect(begin).toEqual([])
  })
})
