import {expect, test} from 'vitest'
import {parsePod} from '../../../../src/kubernetes/pod.ts'
import {migrationSchema} from '../../../../src/api/resources.ts'
import {awaitsReadiness} from '../../../../src/programs/controller/migrate-verify.ts'
import {API_VERSION} from '../../../../src/api/names.ts'
import {isRunningThere} from '../../../../src/workflows/checkpoint/move-end.ts'
import type {ControllerScene} from '../../../support/controller-scene.ts'
import {
  directScene,
  holds,
  isOver,
  MEMORY,
  move,
  OF_REPLICA_SET,
  phaseOf,
  sceneWithPod,
} from '../../../support/migration-scene.ts'

const LATE_MS = 3000
const migrationIn = (scene: ControllerScene) =>
  migrationSchema.parse(scene.kube.peek(API_VERSION, 'Migration')[0])
const isThere = (scene: ControllerScene) => (): boolean => isRunningThere(migrationIn(scene).status ?? {})

test.for([
  ['from node to node', directScene, {}],
  ['by way of the store', sceneWithPod, {}],
  ['of a ReplicaSet', directScene, OF_REPLICA_SET],
] as const)('the downtime of a move %s ends when the processes run', async ([, sceneOf, more]) => {
  const scene = sceneOf({}, more)
  scene.nodes.relistMs.set('b', LATE_MS)
  move(scene)
  await scene.play({until: isThere(scene), each: holds(scene)})
  const {status} = migrationIn(scene)
  expect(status).toMatchObject({
    phase: 'Verifying',
    transferredBytes: expect.any(Number) as number,
    message: expect.stringMatching(/the processes of pod web\S* run on b; waiting for the kubelet/) as string,
  })
  expect(scene.nodes.runningWith(MEMORY)).toHaveLength(1)
  await scene.play({until: isOver(scene), each: holds(scene)})
  const over = migrationIn(scene).status
  expect(over).toMatchObject({phase: 'Succeeded', downtimeMilliseconds: status?.downtimeMilliseconds})
  const readyMs = Date.parse(over?.readyTime ?? '') - Date.parse(over?.runningTime ?? '')
  expect(readyMs).toBeGreaterThanOrEqual(LATE_MS)
  await scene.play({forMs: 20_000, each: holds(scene)})
  expect(scene.pods()).toHaveLength(1)
  await scene.end()
})

test('the source of a ReplicaSet stays frozen until the kubelet has seen the new pod ready', async () => {
  const scene = directScene({}, OF_REPLICA_SET)
  scene.nodes.relistMs.set('b', LATE_MS)
  move(scene)
  await scene.play({until: isThere(scene), each: holds(scene)})
  const until = scene.clock.now() + LATE_MS - 1000
  await scene.play({until: () => scene.clock.now() >= until, each: holds(scene)})
  expect(scene.pod('web')?.metadata.deletionTimestamp).toBeUndefined()
  expect(phaseOf(scene)).toBe('Verifying')
  await scene.end()
})

test.for([
  ['a bare pod', {}],
  ['a pod of a ReplicaSet', OF_REPLICA_SET],
] as const)('%s whose processes end before the kubelet saw them is rolled back', async ([, more]) => {
  const scene = directScene({}, more)
  scene.nodes.relistMs.set('b', LATE_MS)
  scene.nodes.dying.add('b')
  move(scene)
  await scene.play({until: isThere(scene), each: holds(scene)})
  await scene.play({until: isOver(scene), each: holds(scene)})
  const {status} = migrationIn(scene)
  expect(status).toMatchObject({phase: 'RolledBack', reason: 'RESTORE_FAILED'})
  expect(status).not.toHaveProperty('runningTime')
  expect(status).not.toHaveProperty('downtimeMilliseconds')
  expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
  expect(scene.pod('web')).toMatchObject({spec: {nodeName: 'a'}})
  await scene.end()
})

test('a pod that is deleted once it was reported as moved is not restored, and its dump goes', async () => {
  const scene = directScene()
  scene.nodes.relistMs.set('b', LATE_MS)
  move(scene)
  await scene.play({until: isThere(scene), each: holds(scene)})
  scene.kube.drop({apiVersion: 'v1', kind: 'Pod', name: 'web', namespace: 'default'})
  await scene.play({until: isOver(scene)})
  expect(migrationIn(scene).status).toMatchObject({
    phase: 'Succeeded',
    message: 'pod web ran on b, and was deleted there',
  })
  await scene.play({forMs: 60_000})
  expect(scene.pods()).toEqual([])
  expect(scene.kube.peek(API_VERSION, 'Checkpoint')).toEqual([])
  await scene.end()
})

test('of a ReplicaSet whose new pod is deleted before it is ready the source resumes', async () => {
  const scene = directScene({}, OF_REPLICA_SET)
  scene.nodes.relistMs.set('b', LATE_MS)
  move(scene)
  await scene.play({until: isThere(scene), each: holds(scene)})
  const name = migrationIn(scene).status?.newPodName ?? ''
  scene.kube.drop({apiVersion: 'v1', kind: 'Pod', name, namespace: 'default'})
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(phaseOf(scene)).toBe('RolledBack')
  expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
  await scene.end()
})

test.for([
  [0, 'right', 1, LATE_MS],
  [-3_600_000, 'an hour slow', 0, 0],
  [3_600_000, 'an hour fast', 1, LATE_MS],
] as const)(
  'the downtime is not less than nothing, nor longer than until now, by a clock that is (%i) %s',
  async ([skewMs, , leastMs, mostMs]) => {
    const scene = directScene()
    scene.nodes.relistMs.set('b', LATE_MS)
    scene.nodes.skewMs.set('b', skewMs)
    move(scene)
    await scene.play({until: isThere(scene)})
    const {downtimeMilliseconds, freezeTime} = migrationIn(scene).status ?? {}
    expect(downtimeMilliseconds).toBeGreaterThanOrEqual(leastMs)
    expect(downtimeMilliseconds).toBeLessThanOrEqual(mostMs)
    expect(downtimeMilliseconds).toBeLessThanOrEqual(scene.clock.now() - Date.parse(freezeTime ?? ''))
    await scene.end()
  },
)

test.for<[string, object, boolean]>([
  ['has nothing of the kind', {}, false],
  ['has a readiness probe', {readinessProbe: {httpGet: {path: '/', port: 80}}}, true],
  ['has a startup probe', {startupProbe: {exec: {command: ['true']}}}, true],
  ['has a hook after its start', {lifecycle: {postStart: {exec: {command: ['true']}}}}, true],
  ['has a hook before its end', {lifecycle: {preStop: {exec: {command: ['true']}}}}, false],
  ['has a liveness probe', {livenessProbe: {exec: {command: ['true']}}}, false],
])('whether a pod has to become ready that %s', ([, more, awaits]) => {
  const podOf = (spec: object) => parsePod({apiVersion: 'v1', kind: 'Pod', metadata: {name: 'web'}, spec})
  const plain = {name: 'side', image: 'x'}
  expect(awaitsReadiness(podOf({containers: [plain, {...plain, name: 'main', ...more}]}))).toBe(awaits)
  expect(awaitsReadiness(podOf({containers: [plain], initContainers: [{...plain, ...more}]}))).toBe(awaits)
  expect(awaitsReadiness(podOf({containers: [plain], readinessGates: [{conditionType: 'x'}]}))).toBe(true)
})

test('a pod with a readiness probe is not taken for moved because its processes run', async () => {
  const spec = {containers: [{name: 'main', image: 'app:1', readinessProbe: {exec: {command: ['true']}}}]}
  const scene = directScene({}, {spec})
  scene.nodes.relistMs.set('b', LATE_MS)
  move(scene)
  const each = (): void => {
    holds(scene)()
    expect(isThere(scene)()).toBe(false)
  }
  await scene.play({until: isOver(scene), each})
  expect(migrationIn(scene).status).toMatchObject({phase: 'Succeeded', awaitsReadiness: true})
  await scene.end()
})
