import {expect, test} from 'vitest'
import {lockCache} from '../../../src/bundle/build-lock.ts'
import {temporaryFolder} from '../../support/tiny-bundle.ts'

const {signal} = new AbortController()
const silent = (): void => undefined

test('a second build with the same cache waits for the first and says so', async () => {
  await using folder = await temporaryFolder()
  const order: string[] = []
  const first = await lockCache(folder.dir, 'amd64', signal, silent)
  const waiting = new Promise<void>((resolve, reject) => {
    void lockCache(folder.dir, 'amd64', signal, () => {
      order.push('waits')
      resolve()
    }).then(async (second) => {
      order.push('second')
      await second[Symbol.asyncDispose]()
    }, reject)
  })
  await waiting
  order.push('first ends')
  await first[Symbol.asyncDispose]()
  await (await lockCache(folder.dir, 'amd64', signal, silent))[Symbol.asyncDispose]()
  expect(order.slice(0, 2)).toEqual(['waits', 'first ends'])
})

test('waiting for another build ends with the abort', async () => {
  await using folder = await temporaryFolder()
  await using _first = await lockCache(folder.dir, 'amd64', signal, silent)
  const controller = new AbortController()
  const second = lockCache(folder.dir, 'amd64', controller.signal, () =>
    controller.abort(new Error('enough')),
  )
  await expect(second).rejects.toThrow()
})
