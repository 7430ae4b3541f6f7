import {expect, test} from 'vitest'
import {KubernetesError} from '../../../src/base/errors.ts'
import type {Transport} from '../../../src/kubernetes/transport.ts'
import {watchCollection} from '../../../src/kubernetes/watch.ts'

const item = (name: string, resourceVersion: string) => ({
  metadata: {name, namespace: 'default', resourceVersion},
})
const line = (type: string, name: string, version: string): string =>
  JSON.stringify({type, object: item(name, version)})

interface Script {
  /** What each list finds, and at which version. */
  readonly lists: readonly {readonly version: string; readonly items: readonly object[]}[]
  /** Lines of each connection; an Error breaks it. */
  readonly streams: readonly (readonly (string | Error)[])[]
}

/** Watches by a script until that has ended; what was told, and which connections were asked for. */
async function watched({lists, streams}: Script) {
  const over = new AbortController()
  const told: string[] = []
  const asked: string[] = []
  const problems: string[] = []
  let listed = 0
  let streamed = 0
  const transport: Transport = {
    signal: over.signal,
    send: () => {
      const {version, items} = lists[listed++] ?? {version: '0', items: []}
      return Promise.resolve({
        status: 200,
        body: JSON.stringify({metadata: {resourceVersion: version}, items}),
      })
    },
    stream: (path) => {
      asked.push(new URLSearchParams(path.slice(path.indexOf('?'))).get('resourceVersion') ?? '')
      const lines = streams[streamed++]
      if (lines === undefined) over.abort()
      return Promise.resolve({status: 200, lines: play(lines ?? [])})
    },
    close: () => undefined,
  }
  await watchCollection({
    transport,
    collection: () => Promise.resolve('/api/v1/pods'),
    query: {apiVersion: 'v1', kind: 'Pod', onProblem: ({message}) => void problems.push(message)},
    onEvent: ({type, object}) => void told.push(`${type} ${object.metadata.name}`),
    signal: over.signal,
  })
  return {told, asked, problems, listed}
}

async function* play(lines: readonly (string | Error)[]): AsyncGenerator<string> {
  for (const next of lines) {
    await Promise.resolve()
    if (next instanceof Error) throw next
    yield next
  }
}

test('a connection that ends is followed on from the last version, bookmarks count', async () => {
  const seen = await watched({
    lists: [{version: '5', items: [item('a', '3')]}],
    streams: [[line('ADDED', 'b', '6'), line('BOOKMARK', '', '9')], [line('MODIFIED', 'a', '11')]],
  })
  expect(seen.told).toEqual(['ADDED a', 'ADDED b', 'MODIFIED a'])
  expect(seen.asked).toEqual(['5', '9', '11'])
})

test.for([
  ['breaks', new KubernetesError('API_UNREACHABLE', 'reset')],
  ['is cut off in a line', '{"type":"ADDED","obj'],
] as const)('a connection that %s is told and followed again', async ([, end]) => {
  const seen = await watched({
    lists: [{version: '5', items: []}],
    streams: [[line('ADDED', 'a', '6'), end], [line('ADDED', 'b', '7')]],
  })
  expect(seen.told).toEqual(['ADDED a', 'ADDED b'])
  expect(seen.problems).toHaveLength(1)
})

test('what the server has forgotten is listed anew: what is gone is told, what is the same is not', async () => {
  const expired = JSON.stringify({type: 'ERROR', object: {code: 410, message: 'too old'}})
  const seen = await watched({
    lists: [
      {version: '5', items: [item('gone', '1'), item('same', '2'), item('changed', '3')]},
      {version: '20', items: [item('same', '2'), item('changed', '12'), item('new', '15')]},
    ],
    streams: [[expired]],
  })
  expect(seen.told).toEqual([
    'ADDED gone',
    'ADDED same',
    'ADDED changed',
    'DELETED gone',
    'MODIFIED changed',
    'ADDED new',
  ])
  expect(seen.asked).toEqual(['5', '20'])
})
