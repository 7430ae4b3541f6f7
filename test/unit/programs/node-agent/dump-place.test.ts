import {expect, test} from 'vitest'
import {placeFor as placeAndRelease} from '../../../../src/programs/node-agent/dump-place.ts'
import type {DumpSize} from '../../../../src/programs/node-agent/upper-layer.ts'

const MIB = 1024 ** 2
const placeFor = async (...given: Parameters<typeof placeAndRelease>) =>
  (await placeAndRelease(...given)).place
const SIZE: DumpSize = {
  fileBytes: 100 * MIB,
  holeBytes: 0,
  sparsest: '',
  memoryBytes: 100 * MIB,
  freeBytes: 700 * MIB,
  upper: '/upper',
}
const memoryOf = (roomBytes: number) => ({
  reserve: (bytes: number) => Promise.resolve(bytes <= roomBytes ? () => undefined : undefined),
})
const ONE = new Map([['app', SIZE]])
const TWO = new Map([
  ['app', SIZE],
  ['side', SIZE],
])

test('a dump is in memory when all containers of the pod fit there together, else on the disk', async () => {
  expect(await placeFor('Direct', ONE, memoryOf(232 * MIB))).toBe('memory')
  expect(await placeFor('Direct', ONE, memoryOf(232 * MIB - 1))).toBe('disk')
  const roomy = new Map([...TWO].map(([name, size]) => [name, {...size, freeBytes: 1024 * MIB}]))
  expect(await placeFor('Direct', roomy, memoryOf(463 * MIB))).toBe('disk')
  expect(await placeFor('Direct', TWO, memoryOf(464 * MIB))).toBe('memory')
  // Memory that was full once is not tried again.
  expect(await placeFor('Direct', ONE, undefined)).toBe('disk')
})

test('more room is kept than the dump is expected to take, and only the latter is shown', async () => {
  const {expectedBytes, wantedBytes} = await placeAndRelease('Direct', TWO, memoryOf(1024 * MIB), 10 * MIB)
  expect(expectedBytes).toBe((2 * 201 + 10) * MIB)
  expect(wantedBytes).toBe((2 * 232 + 10) * MIB)
})

test('the archive of a runtime is on the disk, and needs twice the room', async () => {
  expect(await placeFor('Runtime', ONE, memoryOf(1024 * MIB))).toBe('disk')
  const little = new Map([['app', {...SIZE, freeBytes: 600 * MIB}]])
  await expect(placeFor('Runtime', little, memoryOf(1024 * MIB))).rejects.toMatchObject({
    code: 'TOO_LARGE',
    message: expect.stringContaining('needs 656 MiB of disk space') as string,
  })
  expect(await placeFor('Direct', little, memoryOf(0))).toBe('disk')
})

test('a disk with room for one container is not enough for both', async () => {
  await expect(placeFor('Direct', TWO, memoryOf(0))).rejects.toMatchObject({
    code: 'TOO_LARGE',
    message: expect.stringContaining('container app, side needs 720 MiB') as string,
  })
})

test('sparse files are refused wherever there is room', async () => {
  const sparse = new Map([['app', {...SIZE, holeBytes: 2 ** 40, sparsest: '/data/big'}]])
  for (const way of ['Direct', 'Runtime'] as const)
    await expect(placeFor(way, sparse, memoryOf(2 ** 41))).rejects.toThrow('/data/big')
})
