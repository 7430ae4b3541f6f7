import {setTimeout as delay} from 'node:timers/promises'
import {expect, test} from 'vitest'
import {
  API_VERSION,
  MIGRATION_LABEL,
  RESTORE_ANNOTATION,
  ROLLED_BACK_ANNOTATION,
} from '../../../../src/api/names.ts'
import {migrationSchema} from '../../../../src/api/resources.ts'
import {runningReports} from '../../../../src/programs/node-agent/running-reports.ts'
import {FakeKube} from '../../../support/fake-kube.ts'

const SETTLE_MS = 40

interface Scene {
  readonly kube: FakeKube
  readonly note: (container: string, changed?: object) => void
  readonly running: Set<string>
  isFrozen: boolean
  readonly runningTime: () => string | undefined
}

function sceneOf({
  move = {},
  pod = {},
  labels = {},
}: {move?: object; pod?: object; labels?: object} = {}): Scene {
  const kube = new FakeKube({})
  const [namespace, name] = ['shop', 'web']
  kube.put({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...{name, namespace, labels: {[MIGRATION_LABEL]: 'move', ...labels}},
      annotations: {[RESTORE_ANNOTATION]: 'dump'},
      ...pod,
    },
    spec: {nodeName: 'b', containers: [{name: 'main'}, {name: 'side'}]},
    status: {phase: 'Pending'},
  })
  const uid = kube.peek('v1', 'Pod')[0]?.metadata.uid ?? ''
  kube.put({
    apiVersion: API_VERSION,
    kind: 'Migration',
    metadata: {name: 'move', namespace},
    spec: {podName: name},
    status: {
      ...{phase: 'Verifying', targetNodeName: 'b', checkpointName: 'dump', newPodName: name, newPodUID: uid},
      ...move,
    },
  })
  const running = new Set(['id-main', 'id-side'])
  const scene = {
    kube,
    running,
    isFrozen: false,
    runningTime: () => migrationSchema.parse(kube.peek(API_VERSION, 'Migration')[0]).status?.runningTime,
  }
  const cgroup = {version: 2, pod: '', container: '', pid: 1} as const
  const restored = runningReports(
    {
      kube,
      node: 'b',
      cgroups: {
        containers: () => Promise.resolve([...running].map((id) => ({id, cgroup}))),
        isFrozen: () => Promise.resolve(scene.isFrozen),
      },
      now: Date.now,
      log: () => undefined,
      signal: new AbortController().signal,
    },
    {settleMs: SETTLE_MS},
  )
  const note = (container: string, changed: object = {}): void =>
    restored({
      ...{
        version: 1,
        event: 'restored',
        id: `id-${container}`,
        bundle: '/b',
        namespace,
        pod: name,
        podUid: uid,
      },
      ...{container, checkpoint: 'dump', ...changed},
    })
  return Object.assign(scene, {note})
}

const settled = (): Promise<void> => delay(3 * SETTLE_MS)

test('a pod runs when all of its containers were restored, and since the last of them was', async () => {
  const scene = sceneOf()
  scene.note('main')
  await settled()
  expect(scene.runningTime()).toBeUndefined()
  const beforeMs = Date.now()
  scene.note('side')
  const afterMs = Date.now()
  await expect.poll(scene.runningTime, {interval: 2}).toBeDefined()
  const runningMs = Date.parse(scene.runningTime() ?? '')
  expect(runningMs).toBeGreaterThanOrEqual(beforeMs)
  expect(runningMs).toBeLessThanOrEqual(afterMs)
  expect(Date.now() - runningMs).toBeGreaterThanOrEqual(SETTLE_MS - 1)
})

test('containers that are restored at the same moment are reported once', async () => {
  const scene = sceneOf()
  scene.note('main')
  scene.note('side')
  await expect.poll(scene.runningTime, {interval: 2}).toBeDefined()
})

test('processes that end at once are not reported', async () => {
  const scene = sceneOf()
  scene.note('main')
  scene.note('side')
  scene.running.delete('id-side')
  await settled()
  expect(scene.runningTime()).toBeUndefined()
})

test('processes that are frozen do not run', async () => {
  const scene = sceneOf()
  scene.isFrozen = true
  scene.note('main')
  scene.note('side')
  await settled()
  expect(scene.runningTime()).toBeUndefined()
})

test.for<[string, Parameters<typeof sceneOf>[0], object]>([
  ['is of no move', {pod: {labels: {}}}, {}],
  [
    'was put back where it was',
    {pod: {annotations: {[RESTORE_ANNOTATION]: 'dump', [ROLLED_BACK_ANNOTATION]: 'true'}}},
    {},
  ],
  ['is another one of that name by now', {}, {podUid: 'cccc-dddd'}],
  ['goes on from another checkpoint', {}, {checkpoint: 'other'}],
  ['is not the one of its move', {move: {newPodUID: 'cccc-dddd'}}, {}],
  ['is of a move to another node', {move: {targetNodeName: 'c'}}, {}],
  ['is of a move that rolls back', {move: {phase: 'RollingBack'}}, {}],
  ['is of a move that is over', {move: {phase: 'Succeeded'}}, {}],
])('nothing is reported of a pod that %s', async ([, given, changed]) => {
  const scene = sceneOf(given)
  scene.note('main', changed)
  scene.note('side', changed)
  await settled()
  expect(scene.runningTime()).toBeUndefined()
})
