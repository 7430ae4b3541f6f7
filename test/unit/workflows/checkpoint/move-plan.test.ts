import {expect, test} from 'vitest'
import {API_VERSION, BACKEND_LABELS, NODE_FEATURES_ANNOTATION} from '../../../../src/api/names.ts'
import {migrationSchema, type Migration} from '../../../../src/api/resources.ts'
import {movePlanText, migrationText} from '../../../../src/cli/checkpoint-results.ts'
import {palette} from '../../../../src/cli/terminal.ts'
import type {HttpAnswer} from '../../../../src/kubernetes/types.ts'
import {expectedDowntime, planMove} from '../../../../src/workflows/checkpoint/move-plan.ts'
import {FakeKube} from '../../../support/fake-kube.ts'
import {NODE_FEATURES} from '../../../support/simulated-nodes.ts'

const MIB = 1024 ** 2

const moved = (way: string | undefined, mib: number, downtimeMilliseconds: number, phase = 'Succeeded') =>
  migrationSchema.parse({
    metadata: {name: `m${mib}`, namespace: 'team'},
    spec: {podName: 'web'},
    status: {phase, way, transferredBytes: mib * MIB, downtimeMilliseconds},
  })

test.for<[string, number, readonly Migration[], number | undefined]>([
  ['none was made', 100, [], undefined],
  [
    'only others were made',
    100,
    [moved('Store', 100, 9000), moved('Direct', 100, 1000, 'RolledBack')],
    undefined,
  ],
  ['one of its size was', 100, [moved('Direct', 100, 1500)], 1500],
  ['a smaller one was', 200, [moved('Direct', 100, 1500)], 3000],
  ['a larger one was, which says the most it can be', 100, [moved('Direct', 1000, 5000)], 5000],
  [
    'several were, of which the nearest count',
    100,
    [10, 90, 100, 110, 5000].map((mib) => moved('Direct', mib, mib * 10)),
    1000,
  ],
])('the downtime to expect of a move where %s', ([, mib, moves, expected]) => {
  expect(expectedDowntime(mib * MIB, 'Direct', moves)?.downtimeMs).toBe(expected)
})

test('moves of before the ways were told apart went by way of the store', () => {
  expect(expectedDowntime(MIB, 'Store', [moved(undefined, 1, 700)])).toEqual({downtimeMs: 700, moves: 1})
})

class Cluster extends FakeKube {
  summary: HttpAnswer = {status: 403, body: ''}
  override fetch = (): Promise<HttpAnswer> => Promise.resolve(this.summary)
}

function cluster(): Cluster {
  const kube = new Cluster({})
  const node = (name: string, features: object, more: {ready?: string; cordoned?: boolean} = {}): void =>
    kube.put({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name,
        labels: {[BACKEND_LABELS.Handler]: 'true'},
        annotations: {[NODE_FEATURES_ANNOTATION]: JSON.stringify({...NODE_FEATURES, ...features})},
      },
      spec: {unschedulable: more.cordoned},
      status: {conditions: [{type: 'Ready', status: more.ready ?? 'True'}]},
    })
  node('a', {directMoves: true})
  node('b', {directMoves: true, ofANewerRelease: 1})
  node('c', {})
  node('d', {cpuFeatures: []})
  node('e', {}, {cordoned: true})
  node('f', {}, {ready: 'Unknown'})
  kube.put({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name: 'web', namespace: 'team'},
    spec: {nodeName: 'a', containers: [{name: 'main', image: 'x'}]},
    status: {phase: 'Running'},
  })
  return kube
}

test('a plan names each other node with the way to it, or why there is none', async () => {
  const kube = cluster()
  const plan = await planMove(kube, {namespace: 'team', pod: 'web'})
  expect(plan).toMatchObject({pod: 'team/web', from: 'a', downtimes: {}})
  expect(plan).not.toHaveProperty('memoryBytes')
  expect(plan.targets).toEqual([
    {node: 'b', way: 'Direct'},
    {node: 'c', way: 'Store'},
    {node: 'd', why: 'its CPU (Simulated) lacks avx2, sse2'},
    {node: 'e', why: 'it is cordoned'},
    {node: 'f', why: 'it is not ready'},
  ])
  const text = movePlanText(plan, {colours: palette(false), columns: 120})
  expect(text).toMatch(/memory +unknown: the kubelet did not report it/)
  expect(text).toMatch(/b +Direct +no move of this kind was measured yet/)
  expect(kube.peek(API_VERSION, 'Migration')).toEqual([])
})

test('a plan of a lazy move names the nodes that can serve memory, and counts no downtime of other moves', async () => {
  const kube = cluster()
  const owner = {apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-77', uid: 'r', controller: true}
  const lazily = {namespace: 'team', pod: 'web', memoryPolicy: 'Lazy'} as const
  await expect(planMove(kube, lazily)).rejects.toThrow(
    'cannot be moved lazily: it is not a pod of a ReplicaSet',
  )
  await kube.patch(
    {apiVersion: 'v1', kind: 'Pod', name: 'web', namespace: 'team'},
    {metadata: {ownerReferences: [owner]}},
  )
  const before = {...moved('Direct', 100, 1200), apiVersion: API_VERSION, kind: 'Migration'}
  kube.put({...before, metadata: {name: 'before', namespace: 'team'}})
  for (const name of ['a', 'b']) {
    const features = JSON.stringify({...NODE_FEATURES, directMoves: true, postcopy: true})
    const metadata = {annotations: {[NODE_FEATURES_ANNOTATION]: features}}
    await kube.patch({apiVersion: 'v1', kind: 'Node', name}, {metadata})
  }
  const plan = await planMove(kube, lazily)
  expect(plan.targets.slice(0, 2)).toEqual([
    {node: 'b', way: 'Direct', lazy: true},
    {node: 'c', why: expect.stringContaining('node feature postcopy') as string},
  ])
  expect(movePlanText(plan, {colours: palette(false), columns: 120})).toMatch(
    /b +Direct, memory afterwards +no move of this kind was measured yet/,
  )
})

test('a plan has the memory of the pod, and the downtime that such moves had', async () => {
  const kube = cluster()
  const uid = kube.peek('v1', 'Pod')[0]?.metadata.uid
  const containers = [{memory: {rssBytes: 60 * MIB}}, {memory: {rssBytes: 40 * MIB}}, {}]
  kube.summary = {
    status: 200,
    body: JSON.stringify({pods: [{podRef: {uid: 'other'}}, {podRef: {uid}, containers}]}),
  }
  const {metadata, spec, status} = moved('Direct', 100, 1200)
  kube.put({apiVersion: API_VERSION, kind: 'Migration', metadata, spec, status})
  const plan = await planMove(kube, {namespace: 'team', pod: 'web', node: 'b'})
  expect(plan).toMatchObject({
    memoryBytes: 100 * MIB,
    targets: [{node: 'b', way: 'Direct'}],
    downtimes: {Direct: {downtimeMs: 1200, moves: 1}},
  })
  expect(movePlanText(plan, {colours: palette(false), columns: 120})).toMatch(
    /b +Direct +1\.2 s, by 1 earlier move/,
  )
})

test.for([
  ['direct', {way: 'Direct'}, /transferred +1\.0 MB directly$/m],
  [
    'other',
    {way: 'Store', wayMessage: 'b cannot'},
    /transferred +1\.0 MB by way of the store, because b cannot$/m,
  ],
] as const)(
  'the result of a %s move has its downtime, its total and what was transferred',
  ([, status, words]) => {
    const migration = migrationSchema.parse({
      metadata: {name: 'm', namespace: 'team'},
      spec: {podName: 'web'},
      status: {
        ...{phase: 'Succeeded', sourceNodeName: 'a', targetNodeName: 'b', downtimeMilliseconds: 1234},
        ...{startTime: '2026-11-30T10:00:00.000Z', completionTime: '2026-11-30T10:00:02.500Z'},
        ...{transferredBytes: 1_000_000, ...status},
      },
    })
    const text = migrationText(migration, {colours: palette(false), columns: 100})
    expect(text).toMatch(/downtime +1\.2 s$/m)
    expect(text).toMatch(/total +2\.5 s$/m)
    expect(text).toMatch(words)
  },
)
