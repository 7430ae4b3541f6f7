import {expect, test} from 'vitest'
import {API_VERSION} from '../../../../src/api/names.ts'
import {drainNode} from '../../../../src/workflows/cluster/drain.ts'
import {FakeKube} from '../../../support/fake-kube.ts'
import {recordingReport} from '../../../support/recording-report.ts'

const node = 'worker-1'

interface Playing {
  /** Answers to the first calls for the eviction of a pod, before any is accepted. */
  readonly first?: Readonly<Record<string, readonly {status: number; message: string}[]>>
  /** Pods that a disruption budget holds. */
  readonly held?: readonly string[]
  /** Status that a Migration ends with. */
  readonly moves?: object
}

function cluster({held = [], first = {}, moves}: Playing = {}) {
  const answers = new Map(Object.entries(first).map(([name, list]) => [name, [...list]]))
  const kube: FakeKube = new FakeKube({
    answer: (path) => {
      const [, name = ''] = /\/namespaces\/team\/pods\/([^/]+)\/eviction$/.exec(path) ?? []
      if (name === '') return undefined
      const next = answers.get(name)?.shift()
      if (next !== undefined) return {status: next.status, body: JSON.stringify({message: next.message})}
      if (held.includes(name)) {
        const message = "Cannot evict pod as it would violate the pod's disruption budget."
        return {status: 429, body: JSON.stringify({message})}
      }
      kube.drop({apiVersion: 'v1', kind: 'Pod', namespace: 'team', name})
      return {status: 201, body: '{}'}
    },
    onChange: (what) => {
      const [, name] = /^post Migration team\/(.*)$/.exec(what) ?? []
      if (name === undefined || moves === undefined) return
      const ref = {apiVersion: API_VERSION, kind: 'Migration', namespace: 'team', name}
      void kube.get(ref).then((object) => {
        if (object !== undefined) kube.put({...object, status: moves})
      })
    },
  })
  kube.put({apiVersion: 'v1', kind: 'Namespace', metadata: {name: 'team'}})
  kube.put({apiVersion: 'v1', kind: 'Node', metadata: {name: node}, spec: {}})
  const add = (name: string, labels: Record<string, string> = {}, owner?: string) => {
    const ownerReferences =
      owner === undefined ? [] : [{apiVersion: 'apps/v1', kind: owner, name: 'o', uid: 'u', controller: true}]
    kube.put({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {name, namespace: 'team', labels, ownerReferences},
      spec: {nodeName: node, containers: [{name: 'main'}]},
      status: {phase: 'Running'},
    })
  }
  add('daemon', {}, 'DaemonSet')
  add('plain')
  add('kept', {keep: 'yes'})
  kube.put({
    apiVersion: API_VERSION,
    kind: 'CheckpointPolicy',
    metadata: {name: 'p', namespace: 'team'},
    spec: {selector: {matchLabels: {keep: 'yes'}}, migrateOnDrain: true},
  })
  const tools = {
    report: recordingReport().report,
    signal: new AbortController().signal,
    now: () => Date.now(),
  }
  return {kube, tools}
}

const options = {node, checkpoint: true, timeoutMs: 5000}

test('an opted-in pod is moved, a plain one evicted, that of a DaemonSet left; the node takes no more', async () => {
  const {kube, tools} = cluster({moves: {phase: 'Succeeded', targetNodeName: 'worker-2'}})
  const result = await drainNode(kube, options, tools)
  expect(result.pods.map(({pod, result: what}) => `${pod} ${what}`)).toEqual([
    'team/kept moved',
    'team/plain evicted',
    'team/daemon left',
  ])
  expect(result.drained).toBe(true)
  expect(await kube.get({apiVersion: 'v1', kind: 'Node', name: node})).toMatchObject({
    spec: {unschedulable: true},
  })
})

test('a pod that cannot be moved is not killed in its place', async () => {
  const {kube, tools} = cluster({
    moves: {phase: 'RolledBack', message: 'no node can run the pod', sourceNodeName: node},
  })
  const result = await drainNode(kube, options, tools)
  expect(result.drained).toBe(false)
  expect(result.pods[0]).toMatchObject({pod: 'team/kept', result: 'failed'})
  expect(kube.holds({apiVersion: 'v1', kind: 'Pod', namespace: 'team', name: 'kept'})).toBe(true)
})

test('without --checkpoint opted-in pods are evicted like all others', async () => {
  const {kube, tools} = cluster()
  const result = await drainNode(kube, {...options, checkpoint: false}, tools)
  expect(
    result.pods
      .filter(({result: what}) => what === 'evicted')
      .map(({pod}) => pod)
      .sort(),
  ).toEqual(['team/kept', 'team/plain'])
})

test('a disruption budget is waited for, and named when the time is up', async () => {
  const {kube, tools} = cluster({held: ['plain'], moves: {phase: 'Succeeded', targetNodeName: 'worker-2'}})
  const result = await drainNode(kube, {...options, timeoutMs: 20}, tools)
  expect(result.pods.find(({pod}) => pod === 'team/plain')).toMatchObject({
    result: 'failed',
    detail: expect.stringContaining('disruption budget') as unknown,
  })
})

test('a node that is not there is refused before anything is changed', async () => {
  const {kube, tools} = cluster()
  await expect(drainNode(kube, {...options, node: 'worker-9'}, tools)).rejects.toMatchObject({
    code: 'FLAG_INVALID',
  })
  expect(kube.changes).toEqual([])
})

test('an API server that is away for a moment does not end a drain', async () => {
  const leader = {status: 500, message: 'etcdserver: leader changed'}
  const {kube, tools} = cluster({
    first: {plain: [leader], kept: [leader, leader]},
  })
  const result = await drainNode(kube, {...options, checkpoint: false}, tools)
  expect(result.pods.map(({pod, result: what}) => `${pod} ${what}`).sort()).toEqual([
    'team/daemon left',
    'team/kept evicted',
    'team/plain evicted',
  ])
})

test('an API server that does not answer at all is told as that', async () => {
  const {kube, tools} = cluster()
  const asked = kube.post.bind(kube)
  kube.post = (path, body) => {
    kube.down = 'connection refused'
    return asked(path, body)
  }
  const result = await drainNode(kube, {...options, checkpoint: false, timeoutMs: 20}, tools)
  expect(result.pods.filter(({result: what}) => what === 'failed')).toMatchObject([
    {pod: 'team/plain', detail: expect.stringContaining('connection refused') as unknown},
    {pod: 'team/kept', detail: expect.stringContaining('connection refused') as unknown},
  ])
})

test('an eviction that is refused for good holds up no other', async () => {
  const {kube, tools} = cluster({first: {plain: [{status: 403, message: 'a webhook denied the request'}]}})
  const result = await drainNode(kube, {...options, checkpoint: false}, tools)
  expect(result.drained).toBe(false)
  const byPod = Object.fromEntries(result.pods.map((pod) => [pod.pod, pod]))
  expect(byPod['team/kept']).toMatchObject({result: 'evicted'})
  expect(byPod['team/plain']).toMatchObject({
    result: 'failed',
    detail: expect.stringContaining('a webhook denied') as unknown,
  })
})
