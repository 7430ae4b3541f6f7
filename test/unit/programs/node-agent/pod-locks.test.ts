import {expect, test} from 'vitest'
import {PodLocks} from '../../../../src/programs/node-agent/pod-locks.ts'

const {signal} = new AbortController()

test('work with one pod begins when the work before it has ended, also by an error; another pod does not wait', async () => {
  const locks = new PodLocks()
  const first = Promise.withResolvers<undefined>()
  const begun: string[] = []
  const work = (name: string, until: Promise<undefined>) => () => {
    begun.push(name)
    return until
  }
  const one = locks.during('pod', signal, work('one', first.promise))
  const two = locks.during('pod', signal, work('two', Promise.resolve(undefined)))
  await locks.during('other', signal, work('other', Promise.resolve(undefined)))
  expect(begun).toEqual(['one', 'other'])
  first.reject(new Error('broken off'))
  await expect(one).rejects.toThrow('broken off')
  await two
  expect(begun).toEqual(['one', 'other', 'two'])
})

test('what waits when its signal is aborted does not begin', async () => {
  const locks = new PodLocks()
  const first = Promise.withResolvers<undefined>()
  const over = new AbortController()
  const one = locks.during('pod', signal, () => first.promise)
  const two = locks.during('pod', over.signal, () => Promise.reject(new Error('it began')))
  over.abort(new Error('over'))
  first.resolve(undefined)
  await one
  await expect(two).rejects.toThrow('over')
})
