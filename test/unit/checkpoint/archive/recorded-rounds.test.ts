import {cp, readFile, truncate, writeFile} from 'node:fs/promises'
import {basename, join} from 'node:path'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {mergedPages, type Slice} from '../../../../src/checkpoint/archive/merged-pages.ts'
import {roundName} from '../../../../src/checkpoint/archive/pre-copy.ts'
import {mergedDump} from '../../../../src/programs/node-agent/merged-dump.ts'
import {isWorthAnother, roomForRounds, type Round} from '../../../../src/programs/node-agent/pre-copy.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

/** Three rounds and a dump of CRIU 4.2.1 on Linux 6.12; `npm run test:vm` records them. */
const RECORDED = join(import.meta.dirname, '../../../support/recorded-pre-copy')
const ROUNDS = ['pre-1', 'pre-2', 'pre-3']
const MIB = 1024 ** 2
/** Of the program that was dumped; it wrote to a quarter of it. */
const MEMORY_BYTES = 48 * MIB

const recordedSchema = z.object({
  sizes: z.record(z.string(), z.number()),
  tookMs: z.record(z.string(), z.number()),
})
const recorded = async () =>
  recordedSchema.parse(JSON.parse(await readFile(join(RECORDED, 'rounds.json'), 'utf8')))

const bytesOf = (slices: readonly Slice[]): number => slices.reduce((sum, {sizeBytes}) => sum + sizeBytes, 0)

/** The rounds as a node has them; pages are holes. */
async function withRounds(use: (folder: string) => Promise<void>): Promise<void> {
  const {sizes} = await recorded()
  await withTempFolder(async (folder) => {
    await cp(RECORDED, folder, {recursive: true})
    for (const [path, size] of Object.entries(sizes))
      if (/^pages-\d+\.img$/.test(basename(path))) {
        await writeFile(join(folder, path), '')
        await truncate(join(folder, path), size)
      }
    await use(folder)
  })
}

test('what CRIU says that a round has of a process is the size of its file of pages', async () => {
  const {sizes} = await recorded()
  const pagemap = await readFile(join(RECORDED, 'pre-1/pagemap-1.img'))
  // The first round has no parent: all that it names is there.
  const {pages} = mergedPages([{name: 'pagemap-1.img', pagemap, pages: 'pre-1/pages-1.img'}])
  expect(bytesOf(pages)).toBe(sizes['pre-1/pages-1.img'])
  expect(bytesOf(pages)).toBeGreaterThan(MEMORY_BYTES)
})

test('rounds and dump are merged to one dump that has each page once', async () => {
  const {sizes} = await recorded()
  await withRounds(async (folder) => {
    const merged = await mergedDump(folder)
    const [pages, pagemap] = [merged?.get('pages-1.img'), merged?.get('pagemap-1.img')]
    if (pages === undefined || Buffer.isBuffer(pages) || !Buffer.isBuffer(pagemap))
      throw new Error('no pages were merged')
    // Most pages were not written again, and lie in the first round; all others were written again and again.
    const bytesIn = (file: string): number => bytesOf(pages.filter((slice) => slice.file === file))
    expect(bytesIn('pre-1/pages-1.img')).toBeGreaterThan(0.6 * MEMORY_BYTES)
    expect(bytesIn('pre-2/pages-1.img')).toBeLessThan(MIB)
    // All that the dump itself has is of its moment.
    expect(bytesIn('pages-1.img')).toBe(sizes['pages-1.img'])
    for (const {file, at, sizeBytes} of pages) expect(at + sizeBytes).toBeLessThanOrEqual(sizes[file] ?? 0)
    // As a dump without rounds it needs no parent, and says the same.
    const alone = mergedPages([{name: 'pagemap-1.img', pagemap, pages: 'pages-1.img'}])
    expect(alone.pagemap.equals(pagemap)).toBe(true)
    expect(alone.pages).toEqual([{file: 'pages-1.img', at: 0, sizeBytes: bytesOf(pages)}])
  })
})

test.for([2, 3])(
  'a dump whose round %i is not the one that CRIU had as its parent is refused',
  async (round) => {
    await withRounds(async (folder) => {
      await cp(join(folder, 'pagemap-1.img'), join(folder, roundName(round), 'pagemap-1.img'))
      await cp(join(folder, 'pre-3/pagemap-1.img'), join(folder, 'pre-1/pagemap-1.img'))
      await expect(mergedDump(folder)).rejects.toMatchObject({
        code: 'CHECKPOINT_FAILED',
        message: expect.stringContaining('is in no round of pre-copy') as string,
      })
    })
  },
)

test('after the third of these rounds, which shrink no longer, no other one is worth it', async () => {
  const {sizes, tookMs} = await recorded()
  const rounds = ROUNDS.map((name): Round => {
    const files = Object.entries(sizes).filter(([path]) => path.startsWith(`${name}/`))
    return {bytes: files.reduce((sum, [, size]) => sum + size, 0), ms: tookMs[name] ?? 0}
  })
  const elapsedMs = rounds.reduce((sum, {ms}) => sum + ms, 0)
  const another = (count: number): boolean =>
    isWorthAnother(rounds.slice(0, count), roomForRounds(MEMORY_BYTES), elapsedMs)
  expect([0, 1, 2, 3].map(another)).toEqual([true, true, true, false])
})
