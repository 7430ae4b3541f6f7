import {expect, test} from 'vitest'
import {doctorText} from '../../../../src/cli/checkpoint-doctor-results.ts'
import type {CheckpointNodes} from '../../../../src/workflows/checkpoint/cluster.ts'
import {examineCheckpoints} from '../../../../src/workflows/checkpoint/doctor.ts'
import {NODE_FEATURES_ANNOTATION} from '../../../../src/api/names.ts'
import {palette} from '../../../../src/cli/terminal.ts'
import {FakeHost} from '../../../support/fake-host.ts'
import {FakeKube} from '../../../support/fake-kube.ts'
import {renderer} from '../../../support/phase-context.ts'

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
