import {appendFile, readdir, readFile, stat, utimes, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {digestOf, gather, hexOf} from '../../../../src/checkpoint/stores/content.ts'
import {openStore} from '../../../../src/checkpoint/stores/open.ts'
import {blobStoreContract, manifestOf, putBytes} from '../../../support/blob-store-contract.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const signal = AbortSignal.timeout(60_000)
const open = (path: string) => openStore({directory: {path}}, {nodeDir: '/nonexistent', pauseMs: 0})

blobStoreContract('blobs in a directory', {
  largeBytes: 64 * 2 ** 20,
  manyBlobs: 1000,
  withStore: (_context, use) =>
    withTempFolder(async (dir) => {
      const path = join(dir, 'store')
      await use({
        store: await open(path),
        collects: true,
        tamper: async (digest) => {
          const file = join(path, 'blobs/sha256', hexOf(digest))
          const content = await readFile(file)
          content[0] = (content[0] ?? 0) ^ 1
          await writeFile(file, content)
        },
      })
    }),
})

test('files of a directory store are for their owner only, folders too', async () => {
  await withTempFolder(async (dir) => {
    const store = await open(join(dir, 'store'))
    const {digest} = await putBytes(store, Buffer.from('memory'))
    await store.putManifest(manifestOf(digest), 'web', signal)
    for (const entry of await readdir(join(dir, 'store'), {withFileTypes: true, recursive: true})) {
      const {mode} = await stat(join(entry.parentPath, entry.name))
      expect(mode & 0o077, entry.name).toBe(0)
    }
  })
})

test('what a writer that was killed left behind is collected when it is old', async () => {
  await withTempFolder(async (dir) => {
    const store = await open(dir)
    await putBytes(store, Buffer.from('memory'))
    const [old, fresh] = [join(dir, 'partial/killed'), join(dir, 'partial/at-work')]
    await appendFile(old, 'half')
    await appendFile(fresh, 'half')
    const yesterday = new Date(Date.now() - 86_400_000)
    await utimes(old, yesterday, yesterday)
    await store.collect({graceMs: 3_600_000, dryRun: true, signal})
    expect(await readdir(join(dir, 'partial'))).toHaveLength(2)
    await store.collect({graceMs: 3_600_000, dryRun: false, signal})
    expect(await readdir(join(dir, 'partial'))).toEqual(['at-work'])
  })
})

test('an old blob that a new push names again is young again', async () => {
  await withTempFolder(async (dir) => {
    const store = await open(dir)
    const {digest} = await putBytes(store, Buffer.from('memory'))
    const yesterday = new Date(Date.now() - 86_400_000)
    await utimes(join(dir, 'blobs/sha256', hexOf(digest)), yesterday, yesterday)
    expect(await putBytes(store, Buffer.from('memory'))).toMatchObject({sent: 0})
    expect(await store.collect({graceMs: 3_600_000, dryRun: false, signal})).toMatchObject({removedBlobs: 0})
    expect(await store.has(digest, signal)).toBe(true)
  })
})

test('nothing is collected while a manifest does not say any more what it names', async () => {
  await withTempFolder(async (dir) => {
    const store = await open(dir)
    const {digest} = await putBytes(store, Buffer.from('memory'))
    const manifest = await store.putManifest(manifestOf(digest), 'web', signal)
    await writeFile(
      join(dir, 'manifests', hexOf(manifest), 'web'),
      manifestOf(digestOf(Buffer.from('other'))),
    )
    await expect(store.getManifest(manifest, signal)).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
    await expect(store.collect({graceMs: -1000, dryRun: false, signal})).rejects.toMatchObject({
      code: 'BLOB_TAMPERED',
    })
    expect(await store.has(digest, signal)).toBe(true)
  })
})

test('a place that is no folder does not answer, one without permission refuses, and both are named', async () => {
  await withTempFolder(async (dir) => {
    const file = join(dir, 'file')
    await writeFile(file, '')
    const store = await open(join(file, 'store'))
    const digest = digestOf(Buffer.from('x'))
    await expect(store.has(digest, signal)).rejects.toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringContaining(join(file, 'store')) as string,
    })
    const refusing = await open('/sys/clouder-store')
    await expect(putBytes(refusing, Buffer.from('x'))).rejects.toMatchObject({code: 'STORE_REFUSED'})
  })
})

test('a store on the node lies where the agent says, one on a claim where it is mounted', async () => {
  await withTempFolder(async (dir) => {
    const node = await openStore({node: {}}, {nodeDir: join(dir, 'node')})
    const {digest} = await putBytes(node, Buffer.from('memory'))
    const mounted = {nodeDir: '/nonexistent', claimDir: join(dir, 'node')}
    const claim = await openStore({persistentVolumeClaim: {claimName: 'checkpoints'}}, mounted)
    expect((await gather(claim.get(digest, signal))).length).toBe(6)
    const unmounted = openStore(
      {persistentVolumeClaim: {claimName: 'checkpoints'}},
      {nodeDir: '/nonexistent'},
    )
    await expect(unmounted).rejects.toMatchObject({code: 'STORE_UNREACHABLE'})
  })
})
