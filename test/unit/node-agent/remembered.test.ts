import {expect, test} from 'vitest'
import {remembered} from '../../../src/node-agent/remembered.ts'

test('what is not old is not read again, and a failure is', async () => {
  let [nowMs, reads] = [0, 0]
  const read = remembered(
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
