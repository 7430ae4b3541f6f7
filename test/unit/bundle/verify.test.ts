import {appendFile, readFile, readdir, rm, stat, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {openBundle, packBundle, unpackBundle} from '../../../src/bundle/archive.ts'
import {expectedReferences} from '../../../src/bundle/catalogue.ts'
import {loadBundle} from '../../../src/bundle/load.ts'
import {verifyBundle} from '../../../src/bundle/verify.ts'
import {
  buildTinyBundle,
  copyOfTinyBundle,
  itemCount,
  temporaryFolder,
  tinySource,
} from '../../support/tiny-bundle.ts'

const options = {references: expectedReferences('1.35.4'), signal: new AbortController().signal}

test('one flipped byte is found, and the file named', async () => {
  await using folder = await temporaryFolder()
  const bundle = await buildTinyBundle({dir: folder.dir, source: tinySource()})
  const path = join(bundle.dir, 'files', 'kubelet.gz')
  const content = await readFile(path)
  content.writeUInt8(content.readUInt8(content.length - 1) ^ 1, content.length - 1)
  await writeFile(path, content)
  await expect(verifyBundle(bundle, options)).rejects.toMatchObject({
    code: 'BUNDLE_DIGEST_WRONG',
    message: expect.stringContaining('files/kubelet.gz has sha256') as string,
  })
  // What is kept between builds has not suffered with it.
  await rm(bundle.dir, {recursive: true})
  const again = await buildTinyBundle({dir: folder.dir, source: tinySource()})
  await expect(verifyBundle(again, options)).resolves.toMatchObject({items: itemCount('1.35.4')})
})

test('every bad item is named at once', async () => {
  await using folder = await temporaryFolder()
  const bundle = await copyOfTinyBundle(folder.dir)
  const [blob = ''] = await readdir(join(bundle.dir, 'oci/blobs/sha256'))
  await rm(join(bundle.dir, 'oci/blobs/sha256', blob))
  await appendFile(join(bundle.dir, 'oci/index.json'), ' ')
  await writeFile(join(bundle.dir, 'files/surplus.gz'), '')
  const verified = verifyBundle(bundle, options)
  await expect(verified).rejects.toThrow(`${blob} is missing`)
  await expect(verified).rejects.toThrow('files/surplus.gz is not in the lock')
  await expect(verified).rejects.toThrow('oci/index.json differs from the lock')
})

test('an image that manifests name and the bundle lacks is an error', async () => {
  await using folder = await temporaryFolder()
  const bundle = await copyOfTinyBundle(folder.dir)
  const references = [...options.references, 'registry.k8s.io/other:v1']
  await expect(verifyBundle(bundle, {...options, references})).rejects.toMatchObject({
    code: 'BUNDLE_NOT_CLOSED',
    message: expect.stringContaining('registry.k8s.io/other:v1') as string,
  })
})

test('a bundle survives being one file', async () => {
  await using folder = await temporaryFolder()
  const bundle = await copyOfTinyBundle(folder.dir)
  const file = join(folder.dir, 'bundle.tar.zst')
  await packBundle(bundle, file, options.signal)
  const unpacked = await unpackBundle(file, join(folder.dir, 'copy'), options.signal)
  expect(unpacked.lock).toEqual(bundle.lock)
  await expect(verifyBundle(unpacked, options)).resolves.toMatchObject({items: itemCount('1.35.4')})
})

test('a bundle is opened from its folder, and from one file that is unpacked once', async () => {
  await using folder = await temporaryFolder()
  const bundle = await copyOfTinyBundle(folder.dir)
  const file = join(folder.dir, 'bundle.tar.zst')
  await packBundle(bundle, file, options.signal)
  const cache = join(folder.dir, 'cache')
  const open = (path: string) => openBundle(path, cache, options.signal)
  const first = await open(file)
  const {ino} = await stat(first.dir)
  const again = await open(file)
  expect(again).toMatchObject({dir: first.dir, lock: bundle.lock})
  expect((await stat(again.dir)).ino).toBe(ino)
  expect((await open(bundle.dir)).dir).toBe(bundle.dir)
  await expect(open(join(folder.dir, 'absent'))).rejects.toMatchObject({code: 'BUNDLE_MISSING'})
})

test('a file that is no bundle archive is refused and leaves nothing', async () => {
  await using folder = await temporaryFolder()
  const file = join(folder.dir, 'bundle.tar.zst')
  await writeFile(file, 'something else')
  const unpacked = unpackBundle(file, join(folder.dir, 'copy'), options.signal)
  await expect(unpacked).rejects.toMatchObject({code: 'BUNDLE_INVALID'})
  expect(await readdir(folder.dir)).toEqual(['bundle.tar.zst'])
})

test.each([
  ['not JSON', '{'],
  ['of another shape', '{"version": 2}'],
])('a lock that is %s is BUNDLE_INVALID', async (_case, text) => {
  await using folder = await temporaryFolder()
  await writeFile(join(folder.dir, 'bundle.lock.json'), text)
  await expect(loadBundle(folder.dir)).rejects.toMatchObject({code: 'BUNDLE_INVALID'})
})

test('a folder without a lock is BUNDLE_MISSING and tells what to run', async () => {
  await using folder = await temporaryFolder()
  await expect(loadBundle(folder.dir)).rejects.toMatchObject({
    code: 'BUNDLE_MISSING',
    suggestions: ['clouder bundle build'],
  })
})
