import {readFile, stat} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {readArchive, unpackArchive} from '../../../../src/checkpoint/archive/read.ts'
import {MEMBERS, tarOf, type Member} from '../../../support/kubelet-archive.ts'
import {pieces} from '../../../support/sealed-checkpoint.ts'
import {tempFolder} from '../../../support/temp-folder.ts'

const {signal} = new AbortController()
const IMAGES = {'checkpoint/core-1.img': 'core', 'checkpoint/pages-1.img': Buffer.alloc(100_000, 1)}
const CHANGED = {'rootfs-diff.tar': 'changes', 'deleted.files': '["etc/motd"]'}

test('an archive says what container and image it was made of', async () => {
  const archive = await tarOf({...IMAGES, ...MEMBERS, ...CHANGED})
  expect(await readArchive(pieces(archive, 1000), signal)).toMatchObject({
    container: 'smoke',
    image: 'clouder.dev/smoke:1',
    imageDigest: `sha256:${'ad'.repeat(32)}`,
    spec: {process: {user: {uid: 0}}, root: {readonly: false}},
    deleted: ['etc/motd'],
  })
})

test('an archive is unpacked for nobody but its owner', async () => {
  await using folder = await tempFolder()
  const dir = join(folder.path, 'app')
  const archive = await tarOf({...IMAGES, ...MEMBERS, ...CHANGED}, [{name: 'checkpoint/', type: 'directory'}])
  const unpacked = await unpackArchive(pieces(archive), dir, signal)
  expect(unpacked).toMatchObject({imageDir: join(dir, 'checkpoint'), changes: join(dir, 'rootfs-diff.tar')})
  expect(await readFile(join(dir, 'checkpoint/pages-1.img'))).toEqual(Buffer.alloc(100_000, 1))
  const modes = await Promise.all(
    ['.', 'checkpoint', 'checkpoint/core-1.img', 'rootfs-diff.tar'].map(
      async (path) => (await stat(join(dir, path))).mode & 0o777,
    ),
  )
  expect(modes).toEqual([0o700, 0o700, 0o600, 0o600])
})

test('an archive without changes of its root file system names none', async () => {
  await using folder = await tempFolder()
  const unpacked = await unpackArchive(pieces(await tarOf(MEMBERS)), join(folder.path, 'app'), signal)
  expect(unpacked).not.toHaveProperty('changes')
  expect(unpacked.deleted).toEqual([])
})

const EVIL: readonly (readonly [string, readonly Member[]])[] = [
  ['a path that leads up', [{name: 'checkpoint/../../x'}]],
  ['a path that leads up at its start', [{name: '../x'}]],
  ['an absolute path', [{name: '/etc/x'}]],
  ['a symbolic link', [{name: 'checkpoint', type: 'symlink'}]],
  ['a hard link', [{name: 'x', type: 'link'}]],
  ['a device', [{name: 'x', type: 'character-device'}]],
]
test.each(EVIL)('%s in an archive is refused', async (_, besides) => {
  await using folder = await tempFolder()
  const archive = await tarOf(MEMBERS, besides)
  const unpacking = unpackArchive(pieces(archive), join(folder.path, 'a/b'), signal)
  await expect(unpacking).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
})

test('a member that comes twice is refused', async () => {
  await using folder = await tempFolder()
  const archive = await tarOf({...MEMBERS, 'dump.log': ''}, [{name: 'dump.log'}])
  await expect(unpackArchive(pieces(archive), join(folder.path, 'a'), signal)).rejects.toThrow(
    /dump\.log twice/,
  )
})

test('a text that is larger than any of its kind is not read into memory', async () => {
  const archive = await tarOf({...MEMBERS, 'spec.dump': Buffer.alloc(17 * 2 ** 20, ' ')})
  await expect(readArchive(pieces(archive, 2 ** 20), signal)).rejects.toThrow(/spec\.dump has 17825792 bytes/)
})

test('an archive that is cut off, lacks its metadata, or is none is refused', async () => {
  const {'spec.dump': spec, ...lacking} = MEMBERS
  const whole = await tarOf({...IMAGES, ...MEMBERS})
  for (const bytes of [
    whole.subarray(0, 60_000),
    await tarOf(lacking),
    Buffer.alloc(5000, 7),
    Buffer.alloc(0),
  ]) {
    await expect(readArchive(pieces(bytes), signal)).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
  }
  expect(spec).toBeDefined()
})

test('what fails at the source of an archive is told as it is', async () => {
  const archive = await tarOf({...IMAGES, ...MEMBERS})
  async function* breaking() {
    yield* pieces(archive.subarray(0, 2000))
    throw new TypeError('the disk is gone')
  }
  await expect(readArchive(breaking(), signal)).rejects.toThrow('the disk is gone')
})
