import {mkdir, truncate, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {
  dumpMeter,
  refuseHoles,
  refuseLarge,
  refuseOverLimit,
  type DumpSize,
} from '../../../../src/programs/node-agent/upper-layer.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const MIB = 1024 ** 2
const GIB = 1024 ** 3
const SMALL: DumpSize = {fileBytes: 1000, holeBytes: 0, sparsest: '', memoryBytes: 1000, freeBytes: GIB}

test('the changed files of a container are measured, with their holes, and its memory', async () => {
  await withTempFolder(async (folder) => {
    const [upper, proc, cgroup] = [join(folder, 'upper'), join(folder, 'proc'), join(folder, 'cgroup')]
    for (const made of [join(upper, 'var/data'), join(proc, '42'), cgroup])
      await mkdir(made, {recursive: true})
    await writeFile(join(upper, 'var/data/sparse'), 'data')
    await truncate(join(upper, 'var/data/sparse'), 3 * GIB)
    await writeFile(join(upper, 'plain'), 'x'.repeat(10_000))
    const overlay = `overlay rw,lowerdir=/l/1:/l/2,upperdir=${upper},workdir=/w`
    await writeFile(
      join(proc, '42/mountinfo'),
      `900 800 0:55 / / rw,relatime - overlay ${overlay}\n901 900 0:56 / /proc rw - proc proc rw\n`,
    )
    await writeFile(join(proc, '42/status'), 'Name:\tapp\nRssAnon:\t    2048 kB\nRssFile:\t 9999 kB\n')
    await writeFile(join(cgroup, 'cgroup.procs'), '42\n43\n')
    const size = await dumpMeter({proc, folder})({pid: 42, cgroup})
    expect(size).toMatchObject({
      fileBytes: 3 * GIB + 10_000,
      sparsest: '/var/data/sparse',
      memoryBytes: 2048 * 1024,
    })
    expect(size).not.toHaveProperty('unmeasured')
    expect(size.holeBytes).toBeGreaterThan(2.9 * GIB)
    expect(size.upper).toBe(upper)
    expect(() => refuseHoles('app', size)).toThrow('/var/data/sparse')
  })
})

test('what fits is not refused; what would fill the node is', () => {
  expect(() => refuseHoles('app', SMALL)).not.toThrow()
  expect(() => refuseLarge('container app', 768 * MIB, GIB)).not.toThrow()
  expect(() => refuseLarge('container app', 768 * MIB + 1, GIB)).toThrow(/1025 MiB .* 1024 MiB free/)
})

test.for([
  ['overlay / rw - ext4 /dev/vda1 rw', 'not an overlay'],
  ['rw - overlay overlay rw,lowerdir=/l/1,upperdir=/nowhere/upper,workdir=/w', '/nowhere/upper'],
] as const)('files that are not measured are told: %s', async ([mount, told]) => {
  await withTempFolder(async (folder) => {
    const [proc, cgroup] = [join(folder, 'proc'), join(folder, 'cgroup')]
    for (const made of [join(proc, '42'), cgroup]) await mkdir(made, {recursive: true})
    await writeFile(join(proc, '42/mountinfo'), `900 800 0:55 / / ${mount}\n`)
    const size = await dumpMeter({proc, folder})({pid: 42, cgroup})
    expect(size).toMatchObject({fileBytes: 0, unmeasured: expect.stringContaining(told) as string})
  })
})

test('a container with more files than its limit is not ended; holes do not count', () => {
  const size = {...SMALL, fileBytes: GIB, holeBytes: GIB / 4}
  expect(() => refuseOverLimit('app', size, undefined)).not.toThrow()
  expect(() => refuseOverLimit('app', size, (GIB * 3) / 4)).not.toThrow()
  expect(() => refuseOverLimit('app', size, GIB / 2)).toThrow(
    /app .* 768 MiB .* ephemeral-storage limit is 512 MiB/,
  )
})
