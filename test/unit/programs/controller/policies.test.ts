import {expect, test} from 'vitest'
import {POLICY_LABEL, RUNTIME_LABEL} from '../../../../src/api/names.ts'
import {dueBy} from '../../../../src/programs/controller/schedule.ts'
import {controllerScene, type ControllerScene, type SceneOptions} from '../../../support/controller-scene.ts'

const MINUTE_MS = 60_000

function sceneWithPods(count: number, options: SceneOptions = {}, more: {metadata?: object} = {}) {
  const scene = controllerScene(options)
  scene.nodes.addNode('a')
  for (let index = 0; index < count; index++) {
    const metadata = {labels: {app: 'web'}, ...more.metadata}
    scene.nodes.runPod(`web-${index}`, 'a', `memory ${index}`, {metadata})
  }
  return scene
}
const made = (scene: ControllerScene, policy: string) =>
  scene.kube
    .peek('clouder.dev/v1alpha1', 'Checkpoint')
    .filter(({metadata}) => metadata.labels?.[POLICY_LABEL] === policy)
const selector = {matchLabels: {app: 'web'}}

test.for([
  [
    'an hour later',
    '0 * * * *',
    'UTC',
    '2026-11-21T09:30:00Z',
    '2026-11-21T10:00:00Z',
    '2026-11-21T10:00:00Z',
  ],
  ['not yet', '0 * * * *', 'UTC', '2026-11-21T09:30:00Z', '2026-11-21T09:59:59Z', undefined],
  [
    'in its time zone',
    '0 9 * * *',
    'Asia/Tokyo',
    '2026-11-20T12:00:00Z',
    '2026-11-21T00:00:00Z',
    '2026-11-21T00:00:00Z',
  ],
  [
    'once for many that were missed',
    '*/5 * * * *',
    'UTC',
    '2026-11-21T09:00:00Z',
    '2026-11-21T12:03:00Z',
    '2026-11-21T12:00:00Z',
  ],
  // 02:30 does not come in the night of 29 March: the next moment that does.
  [
    'in the hour that is left out',
    '30 2 * * *',
    'Europe/Berlin',
    '2026-03-28T12:00:00Z',
    '2026-03-29T01:00:00Z',
    '2026-03-29T01:00:00Z',
  ],
  // 02:30 comes twice in the night of 25 October.
  [
    'once in the hour that comes twice',
    '30 2 * * *',
    'Europe/Berlin',
    '2026-10-25T00:30:00Z',
    '2026-10-25T01:30:00Z',
    undefined,
  ],
] as const)('a schedule is due %s', ([, line, zone, last, now, expected]) => {
  const {dueMs, nextMs} = dueBy(line, zone, Date.parse(last), Date.parse(now))
  expect(dueMs === undefined ? undefined : new Date(dueMs).toISOString().replace('.000', '')).toBe(expected)
  expect(nextMs).toBeGreaterThan(Date.parse(now))
})

test('a policy makes a checkpoint of each pod at its time, and tells the next time', async () => {
  const scene = sceneWithPods(2, {start: '2026-11-21T09:00:30Z'})
  scene.nodes.runPod('other', 'a', 'x', {metadata: {labels: {app: 'other'}}})
  scene.put('CheckpointPolicy', 'hourly', {selector, schedule: '0 * * * *'})
  await scene.play({forMs: 70 * MINUTE_MS})
  expect(made(scene, 'hourly').map(({spec}) => spec)).toMatchObject([
    {podRef: {name: 'web-0'}, podPolicy: 'Resume', owner: 'policy/hourly'},
    {podRef: {name: 'web-1'}, podPolicy: 'Resume', owner: 'policy/hourly'},
  ])
  expect(scene.status('CheckpointPolicy', 'hourly')).toMatchObject({
    lastScheduleTime: '2026-11-21T10:00:00Z',
    nextScheduleTime: '2026-11-21T11:00:00Z',
    pods: 2,
    checkpoints: 2,
    conditions: [{type: 'Valid', status: 'True'}],
  })
  await scene.end()
})

test('a run that is cut off makes none twice', async () => {
  for (let killAfter = 1; killAfter <= 6; killAfter++) {
    const scene = sceneWithPods(3, {start: '2026-11-21T09:59:00Z', killAfter})
    scene.put('CheckpointPolicy', 'hourly', {selector, schedule: '0 * * * *'})
    await scene.play({forMs: 10 * MINUTE_MS})
    expect([killAfter, made(scene, 'hourly').length]).toEqual([killAfter, 3])
    await scene.end()
  }
})

test('a schedule that is not valid is told, and one that is suspended makes nothing', async () => {
  const scene = sceneWithPods(1)
  scene.put('CheckpointPolicy', 'wrong', {selector, schedule: '99 * * * *'})
  scene.put('CheckpointPolicy', 'nowhere', {selector, schedule: '* * * * *', timeZone: 'Mars/Olympus'})
  scene.put('CheckpointPolicy', 'still', {selector, schedule: '* * * * *', suspend: true})
  await scene.play({forMs: 5 * MINUTE_MS})
  for (const name of ['wrong', 'nowhere'])
    expect(scene.status('CheckpointPolicy', name)).toMatchObject({
      conditions: [{type: 'Valid', status: 'False', reason: 'ScheduleInvalid'}],
    })
  expect(scene.kube.peek('clouder.dev/v1alpha1', 'Checkpoint')).toEqual([])
  await scene.end()
})

test('moves that are asked for in the name of a policy are told in its events, once', async () => {
  const scene = sceneWithPods(1)
  scene.nodes.addNode('b')
  scene.put('CheckpointPolicy', 'keep', {selector, migrateOnDrain: true})
  scene.put('Migration', 'drain-web-0', {podName: 'web-0', storeName: 'default', owner: 'policy/keep'})
  scene.put('Migration', 'by-hand', {podName: 'web-0', storeName: 'default'})
  await scene.play({forMs: 3 * MINUTE_MS})
  const told = scene.kube.peek('v1', 'Event').filter(({reason}) => reason === 'Move')
  expect(told).toMatchObject([
    {
      involvedObject: {kind: 'CheckpointPolicy', name: 'keep'},
      message: 'moving pod web-0: migration drain-web-0',
    },
  ])
  await scene.end()
})

test('only the newest are kept', async () => {
  const scene = sceneWithPods(1, {start: '2026-11-21T09:00:30Z'})
  scene.put('CheckpointPolicy', 'often', {selector, schedule: '*/5 * * * *', retention: {keepLast: 3}})
  await scene.play({forMs: 62 * MINUTE_MS})
  expect(made(scene, 'often').map(({metadata}) => metadata.name.slice(-4))).toEqual(['0950', '0955', '1000'])
  await scene.end()
})

/** What an agent tells; `busy` says whether pods use CPU at a time. */
function usage(scene: () => ControllerScene, busy: (nowMs: number) => boolean) {
  let used = 0
  let lastMs = 0
  return () => {
    const atMs = scene().clock.now()
    if (busy(atMs)) used += atMs - lastMs
    lastMs = atMs
    const pods = scene()
      .pods()
      .map(({metadata}) => [metadata.uid ?? '', used] as const)
    return Promise.resolve({atMs, pods: Object.fromEntries(pods)})
  }
}

test('a pod that has been idle for long enough is checkpointed, once until it is busy again', async () => {
  const startMs = Date.parse('2026-11-21T09:00:00Z')
  const busy = (nowMs: number): boolean => {
    const minutes = (nowMs - startMs) / MINUTE_MS
    return minutes < 10 || (minutes > 40 && minutes < 50)
  }
  const scene: ControllerScene = sceneWithPods(1, {usageOf: usage(() => scene, busy)})
  scene.put('CheckpointPolicy', 'idle', {
    selector,
    idle: {cpu: '100m', durationSeconds: 600, podPolicy: 'Resume'},
  })
  await scene.play({forMs: 15 * MINUTE_MS})
  expect(made(scene, 'idle')).toEqual([])
  await scene.play({forMs: 25 * MINUTE_MS})
  expect(made(scene, 'idle')).toHaveLength(1)
  await scene.play({forMs: 40 * MINUTE_MS})
  expect(made(scene, 'idle')).toHaveLength(2)
  await scene.end()
})

test.for([
  ['a runtime is paused by its switch', {labels: {app: 'web', [RUNTIME_LABEL]: 'work'}}, 0, 'Paused'],
  ['a pod of its own is saved and deleted', {}, 1, 'Running'],
  [
    'what a controller would make anew is left',
    {ownerReferences: [{apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'r', uid: 'r', controller: true}]},
    0,
    'Running',
  ],
] as const)('of idle work with podPolicy: Delete, %s', async ([, metadata, checkpoints, state]) => {
  const scene: ControllerScene = sceneWithPods(
    1,
    {
      usageOf: usage(
        () => scene,
        () => false,
      ),
    },
    {metadata},
  )
  scene.put('Runtime', 'work', {image: 'i', storeName: 'default', state: 'Running'})
  scene.put('CheckpointPolicy', 'idle', {
    selector,
    idle: {cpu: '100m', durationSeconds: 600, podPolicy: 'Delete'},
  })
  await scene.play({forMs: 15 * MINUTE_MS})
  expect(made(scene, 'idle')).toHaveLength(checkpoints)
  expect(scene.object('Runtime', 'work')?.['spec']).toMatchObject({state})
  await scene.end()
})
