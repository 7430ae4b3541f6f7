import fc from 'fast-check'
import {expect, test} from 'vitest'
import {inParallel} from '../../../../src/checkpoint/stores/in-parallel.ts'

test('every item is worked on once, as many at once as allowed and never more', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(30), fc.integer({min: 1, max: 8}), async (count, limit) => {
      const items = Array.from({length: count}, (_, index) => index)
      const done: number[] = []
      let [open, most] = [0, 0]
      await inParallel(new Set(items), limit, async (item) => {
        open += 1
        most = Math.max(most, open)
        for (let turn = 0; turn <= item % 3; turn += 1) await Promise.resolve()
        open -= 1
        done.push(item)
      })
      expect(done.sort((a, b) => a - b)).toEqual(items)
      expect(most).toBe(Math.min(count, limit))
    }),
  )
})

test('after a failure nothing begins, what began is awaited, and the first failure is thrown', async () => {
  const begun: number[] = []
  const ended: number[] = []
  const first = Promise.withResolvers<undefined>()
  const running = inParallel([0, 1, 2, 3, 4], 3, async (item) => {
    begun.push(item)
    if (item === 1) throw new Error('first')
    await first.promise
    ended.push(item)
    if (item === 2) throw new Error('second')
  })
  // A failure that is thrown before the others have ended would be unhandled here.
  await Promise.resolve()
  first.resolve(undefined)
  await expect(running).rejects.toThrow('first')
  expect(begun).toEqual([0, 1, 2])
  expect(ended).toEqual([0, 2])
})

test('work that throws at once is a failure like any other', async () => {
  const fail = (): Promise<void> => {
    throw new Error('at once')
  }
  await expect(inParallel([1], 2, fail)).rejects.toThrow('at once')
})
