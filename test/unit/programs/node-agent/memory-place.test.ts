import {mkdir, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {memoryPlace} from '../../../../src/programs/node-agent/memory-place.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const GIB = 1024 ** 3
/** A tmpfs that every Linux has. */
const TMPFS = '/dev/shm'
const SWAPS = 'Filename\tType\tSize\tUsed\tPriority\n'

async function roomOf(
  {
    available,
    total,
    swaps = '',
    options = 'rw',
  }: Record<'available' | 'total', number> & {
    readonly swaps?: string
    readonly options?: string
  },
  folder = TMPFS,
): Promise<number> {
  return withTempFolder(async (proc) => {
    await mkdir(join(proc, 'self'))
    await writeFile(join(proc, 'swaps'), `${SWAPS}${swaps}`)
    await writeFile(join(proc, 'meminfo'), `MemTotal: ${total} kB\nMemAvailable:   ${available} kB\n`)
    await writeFile(
      join(proc, 'self/mountinfo'),
      `1 0 0:1 / ${folder} rw - tmpfs tmpfs rw\n2 1 0:2 / ${folder} rw - tmpfs tmpfs ${options},size=1k\n`,
    )
    return memoryPlace(folder, {proc}).roomBytes()
  })
}

const kib = (bytes: number): number => bytes / 1024

test('what may be written is what the node can spare: a gigabyte, or a tenth of all, stays for others', async () => {
  const spare = 1024 * 1024
  expect(await roomOf({total: kib(8 * GIB), available: kib(GIB + spare)})).toBe(spare)
  expect(await roomOf({total: kib(100 * GIB), available: kib(10 * GIB + spare)})).toBe(spare)
  expect(await roomOf({total: kib(8 * GIB), available: kib(GIB / 2)})).toBe(0)
})

test('what may be written is whole bytes, as it is told to other programs', async () => {
  expect(await roomOf({total: kib(100 * GIB) + 3, available: kib(20 * GIB)})).toSatisfy(Number.isInteger)
})

test('dumps at the same time do not count on the same memory', async () => {
  await withTempFolder(async (proc) => {
    await mkdir(join(proc, 'self'))
    await writeFile(join(proc, 'swaps'), SWAPS)
    await writeFile(join(proc, 'self/mountinfo'), '')
    await writeFile(
      join(proc, 'meminfo'),
      `MemTotal: ${kib(8 * GIB)} kB\nMemAvailable: ${kib(GIB) + 1000} kB\n`,
    )
    const place = memoryPlace(TMPFS, {proc})
    const [first, second] = await Promise.all([place.reserve(600 * 1024), place.reserve(600 * 1024)])
    expect([first, second].filter((one) => one !== undefined)).toHaveLength(1)
    expect(await place.reserve(401 * 1024)).toBeUndefined()
    const release = first ?? second
    release?.()
    release?.()
    expect(await place.reserve(1001 * 1024)).toBeUndefined()
    expect(await place.reserve(1000 * 1024)).toBeDefined()
  })
})

test('memory that may be swapped out to a disk is not used, but where the mount forbids it', async () => {
  const much = {total: kib(8 * GIB), available: kib(2 * GIB), swaps: '/dev/vda2 partition 1 0 -2\n'}
  expect(await roomOf(much)).toBe(0)
  expect(await roomOf({...much, options: 'rw,noswap'})).toBeGreaterThan(0)
})

test('a folder that is not there, or is on a disk, is not used', async () => {
  const much = {total: kib(8 * GIB), available: kib(4 * GIB)}
  expect(await roomOf(much, '/nowhere')).toBe(0)
  expect(await roomOf(much, '/proc')).toBe(0)
  expect(await memoryPlace('/nowhere', {proc: '/proc'}).isFull()).toBe(false)
})
