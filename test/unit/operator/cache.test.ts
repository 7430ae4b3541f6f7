import {expect, test} from 'vitest'
import {z} from 'zod'
import type {KubeClient, KubeObject, WatchEvent, WatchQuery} from '../../../src/kubernetes/types.ts'
import {ObjectCache} from '../../../src/operator/cache.ts'

const settings = (name: string, data: unknown, namespace = 'default'): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: {name, namespace},
  data,
})
const KINDS = {ConfigMap: {apiVersion: 'v1', schema: z.looseObject({data: z.record(z.string(), z.string())})}}

/** A cache whose watch is in the hands of the test. */
function scene() {
  const [changed, gone, unreadable, logged]: [string[], KubeObject[], string[], string[]] = [[], [], [], []]
  let watching: {query: WatchQuery; tell: (event: WatchEvent) => void} | undefined
  const kube: Pick<KubeClient, 'watch'> = {
    watch: (query, tell, signal) => {
      watching = {query, tell}
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve()))
    },
  }
  let nowMs = 0
  const cache = new ObjectCache({
    kinds: KINDS,
    kube,
    log: (_, message) => void logged.push(message),
    listener: {
      onChange: (_, {metadata}) => void changed.push(metadata.name),
      onGone: (_, object) => void gone.push(object),
      onUnreadable: (_, {metadata}) => void unreadable.push(metadata.name),
    },
    now: () => nowMs,
  })
  const over = new AbortController()
  let isSynced = false
  const following = cache.follow(over.signal, () => (isSynced = true))
  if (watching === undefined) throw new Error('nothing is watched')
  const {query, tell} = watching
  return {
    ...{cache, changed, gone, unreadable, logged, query, tell},
    at: (ms: number) => (nowMs = ms),
    isSynced: () => isSynced,
    end: async () => {
      over.abort()
      await following
    },
  }
}

test('what its schema does not take is left out, and told', async () => {
  const {cache, changed, unreadable, tell, end} = scene()
  tell({type: 'ADDED', object: settings('a', {x: '1'})})
  tell({type: 'ADDED', object: settings('odd', 7)})
  tell({type: 'MODIFIED', object: settings('a', 7)})
  expect([changed, unreadable]).toEqual([['a'], ['odd', 'a']])
  expect(cache.list('ConfigMap')).toEqual([])
  tell({type: 'MODIFIED', object: settings('a', {x: '2'})})
  expect(cache.get('ConfigMap', 'a', 'default')).toMatchObject({data: {x: '2'}})
  tell({type: 'DELETED', object: settings('a', {x: '2'})})
  expect(cache.get('ConfigMap', 'a', 'default')).toBeUndefined()
  await end()
})

test('what cannot be read any more is kept apart, and goes as it was when it could be read last', async () => {
  const {cache, gone, tell, end} = scene()
  const [readable, odd] = [settings('a', {x: '1'}), settings('a', 7)]
  tell({type: 'ADDED', object: readable})
  tell({type: 'MODIFIED', object: odd})
  tell({type: 'MODIFIED', object: odd})
  expect(cache.unreadable('ConfigMap')).toEqual([odd])
  tell({type: 'DELETED', object: odd})
  expect([gone, cache.unreadable('ConfigMap')]).toEqual([[readable], []])
  // Nobody ever did anything for this one.
  tell({type: 'ADDED', object: odd})
  tell({type: 'DELETED', object: odd})
  expect(gone).toEqual([readable])
  await end()
})

test('how current each kind is, since when, and what went wrong', async () => {
  const {cache, logged, query, tell, at, isSynced, end} = scene()
  expect(cache.health().get('ConfigMap')).toMatchObject({state: 'syncing', objects: 0, problems: 0})
  query.onState?.('forbidden')
  expect(cache.unready()).toBe(
    'the initial lists are not complete yet: ConfigMap (forbidden since 1970-01-01T00:00:00.000Z)',
  )
  at(1_000)
  query.onState?.('live')
  query.onSynced?.()
  expect([isSynced(), cache.unready()]).toEqual([true, undefined])
  tell({type: 'ADDED', object: settings('a', {})})
  at(5_000)
  query.onState?.('stale')
  query.onProblem?.(new Error('reset'))
  expect(cache.health().get('ConfigMap')).toEqual({
    isSynced: true,
    state: 'stale',
    since: '1970-01-01T00:00:05.000Z',
    objects: 1,
    problems: 1,
  })
  expect(logged).toEqual(['a watch failed and is retried'])
  await end()
})
