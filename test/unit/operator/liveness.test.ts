import {expect, test} from 'vitest'
import {z} from 'zod'
import {KubernetesError} from '../../../src/kubernetes/errors.ts'
import type {WatchQuery} from '../../../src/kubernetes/types.ts'
import {ObjectCache} from '../../../src/operator/cache.ts'
import {WatchLiveness} from '../../../src/operator/liveness.ts'

const MINUTE_MS = 60_000

/** A cache of Pods whose watch does what the test says, on a clock of its own. */
function scene() {
  const clock = {nowMs: 0}
  const over = new AbortController()
  let query: WatchQuery | undefined
  const cache = new ObjectCache({
    kinds: {Pod: {apiVersion: 'v1', schema: z.looseObject({})}},
    kube: {
      watch: (asked, _onEvent, signal) => {
        query = asked
        return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), {once: true}))
      },
    },
    log: () => undefined,
    listener: {onChange: () => undefined, onGone: () => undefined, onUnreadable: () => undefined},
    liveness: new WatchLiveness(() => clock.nowMs),
  })
  const ended = cache.follow(over.signal, () => undefined)
  return {
    cache,
    pass: (minutes: number) => void (clock.nowMs += minutes * MINUTE_MS),
    query: (): WatchQuery => query ?? expect.fail('nothing is watched'),
    stop: async () => {
      over.abort()
      await ended
    },
  }
}

test('a watch without a sign of life is a problem after five minutes, and none once it has one', async () => {
  const {cache, pass, query, stop} = scene()
  pass(5)
  expect(cache.problem()).toBeUndefined()
  pass(1)
  expect(cache.problem()).toBe('no sign of life for more than 5 min from the watch of Pod')
  query().onAlive?.()
  expect(cache.problem()).toBeUndefined()
  await stop()
})

test('a kind that is refused or absent, and a server that is away, are no reason to be started anew', async () => {
  const {cache, pass, query, stop} = scene()
  for (let minute = 0; minute < 60; minute += 1) {
    pass(1)
    // As a watch does that begins again.
    query().onAlive?.()
    query().onProblem?.(new KubernetesError('API_UNREACHABLE', 'nobody answers'))
    expect(cache.problem()).toBeUndefined()
  }
  await stop()
})
