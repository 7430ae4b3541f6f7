import {expect, test} from 'vitest'
import {doctorText} from '../../../../src/cli/checkpoint-doctor-results.ts'
import type {CheckpointNodes} from '../../../../src/workflows/checkpoint/cluster.ts'
import {examineCheckpoints} from '../../../../src/workflows/checkpoint/doctor.ts'
import {BACKEND_LABELS, NODE_FEATURES_ANNOTATION} from '../../../../src/api/names.ts'
import {palette} from '../../../../src/cli/terminal.ts'
import {FakeHost} from '../../../support/fake-host.ts'
import {FakeKube} from '../../../support/fake-kube.ts'
import {renderer} from '../../../support/phase-context.ts'
import {NODE_FEATURES} from '../../../support/simulated-nodes.ts'

const tools = {now: () => 0, report: () => undefined, signal: new AbortController().signal}

/** What the doctor tells of one node; `said`: what the probe of CRIU prints there. */
async function examined(said: readonly string[], features?: object) {
  const kube = new FakeKube()
  const annotations = features === undefined ? {} : {[NODE_FEATURES_ANNOTATION]: JSON.stringify(features)}
  kube.put({apiVersion: 'v1', kind: 'Node', metadata: {name: 'worker-1', annotations}})
  const host = new FakeHost({name: 'worker-1'}).on('criu/probe.sh', `${said.join('\n')}\n`)
  const opened = {kube, session: {hosts: [host], context: {renderer}}} as unknown as CheckpointNodes
  const result = await examineCheckpoints(opened, {probe: false}, tools)
  expect(host.unexpected).toEqual([])
  const [call] = host.calls
  expect(call?.text).toMatch(/criu check --feature/)
  return result
}

const works = ['version=4.2.1', 'check=ok']

test.for([
  [
    'a virtual machine whose kernel tracks writes',
    [
      ...[
        'feature-mem_dirty_track=mem_dirty_track is supported',
        'feature-uffd-noncoop=uffd-noncoop is supported',
      ],
      ...['pipe=1048576', 'bounding=000001ffffffffff'],
    ],
    [true, true],
  ],
  [
    'a node in a container with small pipes',
    [
      'feature-mem_dirty_track=Warn  (criu/cr-check.c:824): Dirty tracking is OFF. Memory snapshot will not work.',
      ...['feature-uffd-noncoop=uffd-noncoop is supported', 'pipe=1048576', 'bounding=0000003ffeffffff'],
    ],
    [false, false],
  ],
  ['a node that says nothing of it', [], [undefined, undefined]],
] as const)('how memory can be copied is told, of %s', async ([, said, [precopy, postcopy]]) => {
  const {nodes} = await examined([...works, ...said])
  expect(nodes.map((node) => [node.precopy, node.postcopy])).toEqual([[precopy, postcopy]])
})

test('what the agent publishes comes before what CRIU says', async () => {
  const result = await examined([...works, 'feature-mem_dirty_track=mem_dirty_track is supported'], {
    precopy: false,
    postcopy: true,
  })
  expect(result.nodes).toMatchObject([{precopy: false, postcopy: true}])
  expect(doctorText('demo', result, {colours: palette(false), columns: 200})).toMatch(
    /PRE-COPY +POST-COPY.*\n.* no +yes\b/m,
  )
})

test('a CRIU that does not work is a finding, and its check is told', async () => {
  const {findings} = await examined(['version=4.2.1', 'check=kernel is too old'])
  expect(findings).toContainEqual(
    expect.objectContaining({check: 'CRIU', problem: 'criu check of CRIU 4.2.1 fails: kernel is too old'}),
  )
})

const FEATURES = {...NODE_FEATURES, directMoves: true, postcopy: true}
const OF_REPLICA_SET = {apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web', uid: 'rs', controller: true}

test.for<[string, readonly object[], object, string]>([
  ['of a ReplicaSet', [OF_REPLICA_SET], FEATURES, 'post-copy: possible to worker-2 (clouder checkpoint'],
  ['without an owner', [], FEATURES, 'post-copy: not possible: it is not a pod of a ReplicaSet'],
  [
    'whose other node cannot do it',
    [OF_REPLICA_SET],
    {...FEATURES, postcopy: false},
    'post-copy: not possible: worker-2: it or the node of the pod cannot move memory lazily',
  ],
])('whether a pod can be moved with post-copy is told, of one %s', async ([, owners, features, words]) => {
  const kube = new FakeKube()
  for (const [name, has] of [
    ['worker-1', FEATURES],
    ['worker-2', features],
  ] as const)
    kube.put({
      ...{apiVersion: 'v1', kind: 'Node'},
      metadata: {
        name,
        annotations: {[NODE_FEATURES_ANNOTATION]: JSON.stringify(has)},
        labels: {[BACKEND_LABELS.Handler]: 'true'},
      },
      status: {conditions: [{type: 'Ready', status: 'True'}]},
    })
  kube.put({
    ...{apiVersion: 'v1', kind: 'Pod'},
    metadata: {name: 'web-1', namespace: 'team', ownerReferences: owners},
    spec: {nodeName: 'worker-1', containers: [{name: 'main', image: 'app:1'}]},
    status: {phase: 'Running'},
  })
  const opened = {kube, session: {hosts: [], context: {renderer}}} as unknown as CheckpointNodes
  const pod = {namespace: 'team', pod: 'web-1'}
  const result = await examineCheckpoints(opened, {pod, probe: false}, tools)
  expect(doctorText('demo', result, {colours: palette(false), columns: 200})).toContain(words)
})
