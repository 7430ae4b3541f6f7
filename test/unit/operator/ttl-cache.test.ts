import {expect, test} from 'vitest'
import {remembered} from '../../../src/operator/ttl-cache.ts'

test('what is not old is not read again, and a failure is', async () => {
  let [nowMs, reads] = [0, 0]
  const {value: read} = remembered(
    async () => {
      reads += 1
      if (reads === 2) throw new TypeError('away')
      return Promise.resolve(reads)
    },
    {maxAgeMs: 100, now: () => nowMs},
  )
  expect(await Promise.all([read(), read()])).toEqual([1, 1])
  nowMs = 99
  expect(await read()).toBe(1)
  nowMs = 100
  await expect(read()).rejects.toThrow('away')
  expect(await read()).toBe(3)
})

test('what is read anew is given from then on, and what was read before if that fails', async () => {
  let reads = 0
  const {value, renew} = remembered(
    async () => {
      reads += 1
      if (reads === 3) throw new TypeError('away')
      return Promise.resolve(reads)
    },
    {maxAgeMs: 100, now: () => 0},
  )
  expect(await value()).toBe(1)
  expect(await renew()).toBe(2)
  expect(await value()).toBe(2)
  await expect(renew()).rejects.toThrow('away')
  expect(await value()).toBe(2)
})
