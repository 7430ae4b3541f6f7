import {expect, test} from 'vitest'
import {fanOut} from '../../../../src/bootstrap/engine/fan-out.ts'
import {AbortError} from '../../../../src/base/errors.ts'

const nextTurn = async (): Promise<void> => {
  await new Promise((resolve) => setImmediate(resolve))
}

test('outcomes come in the order of the items, failures among them', async () => {
  const {signal} = new AbortController()
  const outcomes = await fanOut(
    [3, 1, 2],
    2,
    async (item) => {
      for (let turn = 0; turn < item; turn += 1) await nextTurn()
      if (item === 1) throw new Error('one is refused')
      return item * 10
    },
    signal,
  )
  expect(outcomes).toEqual([
    {item: 3, value: 30},
    {item: 1, error: new Error('one is refused')},
    {item: 2, value: 20},
  ])
})

test('never more than the limit at a time, and the limit is used', async () => {
  let running = 0
  let most = 0
  const items = Array.from({length: 20}, (_, index) => index)
  await fanOut(
    items,
    5,
    async () => {
      running += 1
      most = Math.max(most, running)
      await nextTurn()
      running -= 1
    },
    new AbortController().signal,
  )
  expect(most).toBe(5)
})

test('after an abort nothing new starts and what runs is awaited', async () => {
  const aborting = new AbortController()
  const started: number[] = []
  const ended: number[] = []
  const outcomes = await fanOut(
    [1, 2, 3],
    2,
    async (item) => {
      started.push(item)
      await nextTurn()
      if (item === 1) aborting.abort()
      await nextTurn()
      ended.push(item)
    },
    aborting.signal,
  )
  expect(started).toEqual([1, 2])
  expect(ended).toEqual([1, 2])
  const last = outcomes[2]
  expect(last !== undefined && 'error' in last && last.error).toBeInstanceOf(AbortError)
})

test('a thrown value that is no Error becomes one, and so does a throw before the first await', async () => {
  const thrown: unknown = 'just text'
  const work = (): Promise<never> => {
    throw thrown
  }
  const outcomes = await fanOut(['a'], 1, work, new AbortController().signal)
  expect(outcomes).toMatchObject([{item: 'a', error: {message: 'just text', cause: 'just text'}}])
})
