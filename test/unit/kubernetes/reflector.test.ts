import {expect, test} from 'vitest'
import {KubernetesError} from '../../../src/kubernetes/errors.ts'
import {reflect} from '../../../src/kubernetes/reflector.ts'
import {isOlder} from '../../../src/kubernetes/resource-version.ts'
import type {Transport} from '../../../src/kubernetes/transport.ts'

const item = (name: string, resourceVersion: string, more: object = {}) => ({
  metadata: {name, namespace: 'default', resourceVersion, ...more},
})
const line = (type: string, name: string, version: string): string =>
  JSON.stringify({type, object: item(name, version)})
const end = (resourceVersion: string): string =>
  JSON.stringify({
    type: 'BOOKMARK',
    object: {metadata: {resourceVersion, annotations: {'k8s.io/initial-events-end': 'true'}}},
  })

/** Lines of each connection, an Error breaks it; or how it is refused. */
type Stream = readonly (string | Error)[] | {readonly status: number; readonly body: object}

interface Script {
  readonly streams: readonly Stream[]
  /** What each list finds, and at which version. */
  readonly lists?: readonly {readonly version: string; readonly items: readonly object[]}[]
  readonly lagMs?: number
}

/** Watches by a script until that has ended; what was told, and which connections were asked for. */
async function watched({lists = [], streams, lagMs = 60_000}: Script) {
  const over = new AbortController()
  const [told, asked, problems, states]: [string[], string[], string[], string[]] = [[], [], [], []]
  let [listed, streamed, signs] = [0, 0, 0]
  const transport: Transport = {
    signal: over.signal,
    send: () => {
      const {version, items} = lists[listed++] ?? {version: '0', items: []}
      const body = JSON.stringify({metadata: {resourceVersion: version}, items})
      return Promise.resolve({status: 200, body})
    },
    stream: (path) => {
      const query = new URLSearchParams(path.slice(path.indexOf('?')))
      asked.push(query.get('resourceVersion') ?? 'all')
      const next = streams[streamed++]
      if (next === undefined) over.abort()
      if (next !== undefined && 'status' in next)
        return Promise.resolve({status: next.status, lines: play([JSON.stringify(next.body)])})
      return Promise.resolve({status: 200, lines: play(next ?? [])})
    },
    close: () => undefined,
  }
  await reflect({
    transport,
    collection: () => Promise.resolve('/api/v1/pods'),
    query: {
      apiVersion: 'v1',
      kind: 'Pod',
      onProblem: ({message}) => void problems.push(message),
      onState: (state) => void states.push(state),
      onAlive: () => void (signs += 1),
    },
    onEvent: ({type, object}) => void told.push(`${type} ${object.metadata.name}`),
    signal: over.signal,
    times: {firstPauseMs: 1, mostPauseMs: 5, lagMs},
  })
  return {told, asked, problems, states, listed, signs}
}

async function* play(lines: readonly (string | Error)[]): AsyncGenerator<string> {
  for (const next of lines) {
    await Promise.resolve()
    if (next instanceof Error) throw next
    yield next
  }
}

test('a connection that ends is gone on with from the last version, bookmarks count', async () => {
  const seen = await watched({
    streams: [
      [line('ADDED', 'a', '3'), end('5'), line('ADDED', 'b', '6'), line('BOOKMARK', '', '9')],
      [line('MODIFIED', 'a', '11')],
    ],
  })
  expect(seen.told).toEqual(['ADDED a', 'ADDED b', 'MODIFIED a'])
  expect(seen.asked).toEqual(['all', '9', '11'])
  expect(seen.problems).toEqual([])
})

test.for([
  ['breaks', new KubernetesError('API_UNREACHABLE', 'reset')],
  ['is cut off in a line', '{"type":"ADDED","obj'],
] as const)('a connection that %s is gone on with from the last event', async ([, broken]) => {
  const seen = await watched({
    streams: [
      [end('5'), line('ADDED', 'a', '6'), line('DELETED', 'a', '7'), broken],
      [line('ADDED', 'b', '8')],
    ],
  })
  expect(seen.told).toEqual(['ADDED a', 'DELETED a', 'ADDED b'])
  expect(seen.asked).toEqual(['all', '7', '8'])
  expect(seen.problems).toHaveLength(1)
  expect(seen.states).toEqual(['syncing', 'live', 'stale', 'live'])
})

test.for([
  ['an event', [JSON.stringify({type: 'ERROR', object: {code: 410, message: 'too old'}})]],
  ['a status', {status: 410, body: {message: 'too old'}}],
] as const)('what the server has forgotten, which %s tells, is listed again', async ([, gone]) => {
  const seen = await watched({
    streams: [
      [line('ADDED', 'gone', '1'), line('ADDED', 'same', '2'), line('ADDED', 'changed', '3'), end('5')],
      gone,
      [line('ADDED', 'same', '2'), line('ADDED', 'changed', '12'), line('ADDED', 'new', '15'), end('20')],
    ],
  })
  expect(seen.told.slice(3)).toEqual(['DELETED gone', 'MODIFIED changed', 'ADDED new'])
  expect(seen.asked).toEqual(['all', '5', 'all', '20'])
})

test('an object that goes while everything is listed is not told', async () => {
  const seen = await watched({
    streams: [[line('ADDED', 'a', '1'), line('ADDED', 'b', '2'), line('DELETED', 'a', '6'), end('6')]],
  })
  expect(seen.told).toEqual(['ADDED b'])
})

test('a server that knows no list by watch is asked for pages', async () => {
  const seen = await watched({
    lists: [{version: '5', items: [item('a', '3')]}],
    streams: [{status: 422, body: {reason: 'Invalid'}}, [line('ADDED', 'b', '6')]],
  })
  expect(seen.told).toEqual(['ADDED a', 'ADDED b'])
  expect(seen.asked).toEqual(['all', '5', '6'])
  expect(seen.problems).toEqual([])
})

test('what is older than what was told is left out, in events and in lists', async () => {
  const gone = {status: 410, body: {}}
  const old = [line('ADDED', 'a', '3'), line('ADDED', 'b', '4'), end('5')]
  const seen = await watched({
    streams: [
      old,
      [line('DELETED', 'a', '8'), line('ADDED', 'a', '7'), line('MODIFIED', 'b', '9')],
      gone,
      // Of a server that lags behind.
      old,
      [line('ADDED', 'b', '9'), end('9')],
    ],
  })
  expect(seen.told).toEqual(['ADDED a', 'ADDED b', 'DELETED a', 'MODIFIED b'])
  expect(seen.problems.at(-1)).toContain('version 5, and 9 was seen already')
})

test('a server that stays behind was restored from a backup: what it has counts', async () => {
  const seen = await watched({
    streams: [
      [line('ADDED', 'a', '8'), end('9')],
      [line('BOOKMARK', '', '5')],
      [line('ADDED', 'b', '4'), end('5')],
    ],
    lagMs: 0,
  })
  expect(seen.told).toEqual(['ADDED a', 'DELETED a', 'ADDED b'])
})

test('versions are compared as numbers of any length, and only as such', () => {
  expect(isOlder('9', '10')).toBe(true)
  expect(isOlder('10', '9')).toBe(false)
  expect(isOlder('10', '10')).toBe(false)
  expect(isOlder('99999999999999999998', '99999999999999999999')).toBe(true)
  expect(isOlder('abc', 'abd')).toBe(false)
  expect(isOlder(undefined, '3')).toBe(false)
})

test('each connection that begins and each line of it is a sign of life, also where it is refused', async () => {
  const bookmark = line('BOOKMARK', '', '9')
  const {signs} = await watched({
    streams: [[end('5'), bookmark], {status: 503, body: {message: 'away'}}, [bookmark]],
  })
  // Four connections: the last one is that at which the script ends.
  expect(signs).toBe(4 + 3)
})
