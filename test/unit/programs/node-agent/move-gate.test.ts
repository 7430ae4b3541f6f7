import {expect, test} from 'vitest'
import {API_VERSION, MOVE_WAITS, ROLLED_BACK_ANNOTATION} from '../../../../src/api/names.ts'
import {parsePod} from '../../../../src/kubernetes/pod.ts'
import {awaitMove} from '../../../../src/programs/node-agent/move-gate.ts'
import {FakeKube} from '../../../support/fake-kube.ts'

interface Situation {
  readonly phase?: string
  readonly checkpoint?: object
  readonly newPodName?: string
}

function clusterWith({phase, checkpoint, newPodName = 'web-1'}: Situation): FakeKube {
  const kube = new FakeKube({})
  kube.put({
    apiVersion: API_VERSION,
    kind: 'Checkpoint',
    metadata: {name: 'dump', namespace: 'shop'},
    spec: {podRef: {name: 'web'}, transfer: {nodeName: 'b'}},
    status: {phase: 'Dumped'},
    ...checkpoint,
  })
  if (phase !== undefined) putMove(kube, phase, newPodName)
  return kube
}

const putMove = (kube: FakeKube, phase: string, newPodName = 'web-1'): void =>
  kube.put({
    apiVersion: API_VERSION,
    kind: 'Migration',
    metadata: {name: 'move', namespace: 'shop'},
    spec: {podName: 'web'},
    status: {phase, checkpointName: 'dump', newPodName},
  })

const pod = (name: string, annotations: Record<string, string> = {}) =>
  parsePod({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name, namespace: 'shop', uid: 'u', annotations},
    spec: {containers: []},
    status: {},
  })
const back = pod('web', {[ROLLED_BACK_ANNOTATION]: 'true'})

const answer = (kube: FakeKube, of = pod('web-1'), waitMs = 150): Promise<string> =>
  awaitMove(of, 'dump', {kube, signal: new AbortController().signal}, {waitMs}).then(
    () => 'starts',
    (error: unknown) => String(error),
  )

test.for(['Moving', 'Verifying', 'Succeeded'])('the new pod starts in phase %s', async (phase) => {
  expect(await answer(clusterWith({phase}))).toBe('starts')
})

test.for(['Pending', 'Checkpointing', 'Preparing'])(
  'in phase %s it is to wait, and come again',
  async (phase) => {
    expect(await answer(clusterWith({phase}))).toContain(MOVE_WAITS)
  },
)

test.for(['RollingBack', 'RolledBack', 'Failed'])('in phase %s it never starts', async (phase) => {
  expect(await answer(clusterWith({phase}))).toContain('does not start pod web-1')
})

test('it starts as soon as the move lets it', async () => {
  const kube = clusterWith({phase: 'Preparing'})
  const answered = answer(kube, pod('web-1'), 5_000)
  putMove(kube, 'Moving')
  expect(await answered).toBe('starts')
})

test('a pod beside its source does not start from a dump that is being deleted: its source may have been resumed', async () => {
  const deletionTimestamp = '2026-01-01T00:00:00Z'
  const metadata = {name: 'dump', namespace: 'shop', finalizers: ['example.com/held'], deletionTimestamp}
  const deleted = (newPodName: string) => clusterWith({phase: 'Moving', newPodName, checkpoint: {metadata}})
  expect(await answer(deleted('web-1'))).toContain('checkpoint shop/dump was deleted')
  // Its source ended before it was made.
  expect(await answer(deleted('web'), pod('web'))).toBe('starts')
})

test('the pod that is made back starts only while the move rolls back', async () => {
  expect(await answer(clusterWith({phase: 'RollingBack'}), back)).toBe('starts')
  expect(await answer(clusterWith({phase: 'Moving'}), back)).toContain('does not start pod web')
})

test('no other pod starts from the dump of a move', async () => {
  expect(await answer(clusterWith({phase: 'Moving'}), pod('mine'))).toContain('does not start pod mine')
  expect(await answer(clusterWith({}))).toContain('no longer exists')
})

test('a checkpoint that is stored is for anybody, whatever becomes of its move', async () => {
  const transfer = {podRef: {name: 'web'}, transfer: {nodeName: 'b'}}
  const checkpoint = {spec: transfer, status: {phase: 'Ready'}}
  const stored = clusterWith({phase: 'Failed', checkpoint})
  expect(await answer(stored, pod('mine'))).toBe('starts')
  const early = clusterWith({phase: 'Preparing', checkpoint})
  expect(await answer(early, pod('mine'))).toBe('starts')
  expect(await answer(early)).toContain(MOVE_WAITS)
  const ordinary = clusterWith({phase: 'Preparing', checkpoint: {spec: {podRef: {name: 'web'}}}})
  expect(await answer(ordinary, pod('mine'))).toBe('starts')
})
