import {readFile, stat, symlink, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import fc from 'fast-check'
import {expect, test} from 'vitest'
import {unpackArchive} from '../../../../src/checkpoint/archive/read.ts'
import {writeSparse} from '../../../../src/checkpoint/archive/sparse-file.ts'
import {MEMBERS, tarOf} from '../../../support/kubelet-archive.ts'
import {pieces} from '../../../support/sealed-checkpoint.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const {signal} = new AbortController()
const MIB = 1024 * 1024

test('whatever is written is read again, in pieces of any size', async () => {
  const run = fc.record({value: fc.constantFrom(0, 7), bytes: fc.integer({min: 0, max: 200_000})})
  await fc.assert(
    fc.asyncProperty(
      fc.array(run, {maxLength: 6}),
      fc.integer({min: 1000, max: 150_000}),
      async (runs, size) => {
        const content = Buffer.concat(runs.map(({value, bytes}) => Buffer.alloc(bytes, value)))
        await withTempFolder(async (folder) => {
          const path = join(folder, 'file')
          const written = await writeSparse(path, pieces(content, size), signal)
          expect((await readFile(path)).equals(content)).toBe(true)
          expect(written).toBeLessThanOrEqual(content.length)
        })
      },
    ),
    {numRuns: 30},
  )
})

test('nothing that is there is written over, through a link least of all', async () => {
  await withTempFolder(async (folder) => {
    const [there, link] = [join(folder, 'there'), join(folder, 'link')]
    await writeFile(there, 'before')
    await symlink(there, link)
    for (const path of [there, link])
      await expect(writeSparse(path, pieces(Buffer.from('after')), signal)).rejects.toMatchObject({
        code: 'EEXIST',
      })
    expect(await readFile(there, 'utf8')).toBe('before')
  })
})

test('holes of an archive are holes again, and do not count', async () => {
  await withTempFolder(async (folder) => {
    const hole = Buffer.alloc(16 * MIB)
    const archive = await tarOf({...MEMBERS, 'checkpoint/pages-1.img': hole, 'rootfs-diff.tar': hole})
    const dir = join(folder, 'app')
    await unpackArchive(pieces(archive, MIB), dir, signal, {allBytes: MIB, filesBytes: MIB})
    for (const name of ['checkpoint/pages-1.img', 'rootfs-diff.tar']) {
      const {size, blocks} = await stat(join(dir, name))
      expect(size).toBe(hole.length)
      expect(blocks * 512).toBeLessThan(MIB)
    }
  })
})

test.for([
  {bounds: {allBytes: MIB, filesBytes: Infinity}, why: 'free disk space of the node'},
  {bounds: {allBytes: Infinity, filesBytes: MIB}, why: 'ephemeral-storage limit'},
])('an archive is unpacked no further than there is room: $why', async ({bounds, why}) => {
  await withTempFolder(async (folder) => {
    const archive = await tarOf({...MEMBERS, 'rootfs-diff.tar': Buffer.alloc(4 * MIB, 1)})
    const dir = join(folder, 'app')
    const unpacking = unpackArchive(pieces(archive, 100_000), dir, signal, bounds)
    await expect(unpacking).rejects.toMatchObject({code: 'TOO_LARGE'})
    await expect(unpacking).rejects.toThrow(why)
    expect((await stat(join(dir, 'rootfs-diff.tar'))).size).toBeLessThanOrEqual(MIB)
  })
})
