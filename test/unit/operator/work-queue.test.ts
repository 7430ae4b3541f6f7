import {expect, test} from 'vitest'
import {WorkQueue} from '../../../src/operator/work-queue.ts'
import {waitFor} from '../../../src/base/waiting.ts'

const never = new AbortController().signal
const until = (what: string, holds: () => boolean): Promise<unknown> =>
  waitFor({
    what,
    check: () => Promise.resolve({seen: 'not yet', ...(holds() ? {value: true} : {})}),
    timeoutMs: 3000,
    intervalMs: 1,
    signal: never,
  })

function queueOf(work: (key: string) => Promise<number | undefined>, concurrency = 2) {
  const over = new AbortController()
  const errors: string[] = []
  const queue = new WorkQueue({
    concurrency,
    firstMs: 5,
    mostMs: 20,
    work,
    onError: (key, error) => errors.push(`${key} ${String(error)}`),
  })
  const ended = queue.run(over.signal)
  return {
    queue,
    errors,
    stop: async () => {
      over.abort()
      await ended
    },
  }
}

test('a key that is added many times is done once, and again when it was added meanwhile', async () => {
  let done = 0
  let release = (): void => undefined
  const {queue, stop} = queueOf(async () => {
    done += 1
    if (done === 1) await new Promise<void>((resolve) => (release = resolve))
    return undefined
  })
  for (let count = 0; count < 5; count++) queue.add('a')
  await until('the first', () => done === 1)
  for (let count = 0; count < 5; count++) queue.add('a')
  release()
  await until('the second', () => done === 2)
  await stop()
  expect(done).toBe(2)
})

test('not more keys than allowed are at work, and no key twice at the same time', async () => {
  const atWork = new Set<string>()
  let most = 0
  let done = 0
  const {queue, stop} = queueOf(async (key) => {
    expect(atWork.has(key)).toBe(false)
    atWork.add(key)
    most = Math.max(most, atWork.size)
    await new Promise((resolve) => setImmediate(resolve))
    atWork.delete(key)
    done += 1
    return undefined
  })
  for (let count = 0; count < 20; count++) queue.add(`k${count}`)
  await until('all', () => done === 20)
  await stop()
  expect(most).toBe(2)
})

test('what fails is tried again later and later, and told each time', async () => {
  const atMs: number[] = []
  const {queue, errors, stop} = queueOf(() => {
    atMs.push(performance.now())
    return atMs.length < 4 ? Promise.reject(new Error('no')) : Promise.resolve(undefined)
  })
  queue.add('a')
  await until('the fourth try', () => atMs.length === 4)
  await stop()
  expect(errors).toEqual(['a Error: no', 'a Error: no', 'a Error: no'])
  const pauses = atMs.slice(1).map((ms, index) => ms - (atMs[index] ?? 0))
  for (const [index, leastMs] of [4, 9, 19].entries()) expect(pauses[index]).toBeGreaterThan(leastMs)
})

test('work that asks to be done again is, when it is due, and nothing is begun after the end', async () => {
  let done = 0
  const {queue, stop} = queueOf(() => {
    done += 1
    return Promise.resolve(done < 3 ? 3 : undefined)
  })
  queue.add('a')
  await until('three times', () => done === 3)
  await stop()
  queue.add('a')
  await new Promise((resolve) => setImmediate(resolve))
  expect(done).toBe(3)
})

test.each([0, 1, 2, 3, 4, 5, 6, 7, 8])(
  'a key that is added %i turns of the loop after its work ended is worked on once more',
  async (turns) => {
    let done = 0
    let release = (): void => undefined
    const {queue, stop} = queueOf(async () => {
      done += 1
      if (done === 1) await new Promise<void>((resolve) => (release = resolve))
      return undefined
    })
    queue.add('a')
    await until('the first', () => done === 1)
    release()
    for (let turn = 0; turn < turns; turn += 1) await Promise.resolve()
    queue.add('a')
    await queue.idle()
    expect(done).toBe(2)
    await stop()
  },
)

test('it is idle when what failed has been tried again with success, and when it has ended', async () => {
  let tries = 0
  const {queue, stop} = queueOf(() => {
    tries += 1
    return tries < 3 ? Promise.reject(new Error('no')) : Promise.resolve(undefined)
  })
  await queue.idle()
  queue.add('a')
  await queue.idle()
  expect(tries).toBe(3)
  tries = 0
  queue.add('a')
  await until('the first failure', () => tries === 1)
  await stop()
  await queue.idle()
  expect(tries).toBe(1)
})

test('what is added while it waits to be tried again is tried at once', async () => {
  let tries = 0
  const over = new AbortController()
  const queue = new WorkQueue({
    firstMs: 3_600_000,
    mostMs: 3_600_000,
    work: () => (++tries === 1 ? Promise.reject(new Error('no')) : Promise.resolve(undefined)),
    onError: () => undefined,
  })
  const ended = queue.run(over.signal)
  queue.add('a')
  await until('the failure', () => tries === 1)
  queue.add('a')
  await until('the second try', () => tries === 2)
  await queue.idle()
  over.abort()
  await ended
})
