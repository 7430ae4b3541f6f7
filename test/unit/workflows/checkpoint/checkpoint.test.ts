import {expect, test} from 'vitest'
import {API_VERSION, VERIFY_ANNOTATION} from '../../../../src/api/names.ts'
import type {KubeObject} from '../../../../src/kubernetes/types.ts'
import {collectCheckpoints} from '../../../../src/workflows/checkpoint/gc.ts'
import {applyPolicy, migratePod, restoreCheckpoint} from '../../../../src/workflows/checkpoint/move.ts'
import {
  createCheckpoint,
  listCheckpoints,
  readCheckpoint,
  verifyCheckpoint,
} from '../../../../src/workflows/checkpoint/checkpoint.ts'
import {FakeKube} from '../../../support/fake-kube.ts'
import {fixedClock} from '../../../support/fixed-clock.ts'
import {recordingReport} from '../../../support/recording-report.ts'

const place = {namespace: 'team', name: 'web-1'}
const asked = {namespace: 'team', pod: 'web', store: 'default', podPolicy: 'Resume'} as const
const refOf = (kind: string, name: string) => ({apiVersion: API_VERSION, kind, namespace: 'team', name})

function pod(name: string, more: {phase?: string; namespace?: string; nodeName?: string} = {}): KubeObject {
  const {phase = 'Running', namespace = 'team', nodeName = 'worker-1'} = more
  const spec = {nodeName, containers: [{name: 'main', image: 'x'}]}
  return {apiVersion: 'v1', kind: 'Pod', metadata: {name, namespace}, spec, status: {phase}}
}

/** A cluster with a pod; `onChange` plays the programs of the cluster. */
function cluster(play: (kube: FakeKube, what: string) => void = () => undefined) {
  const clock = fixedClock()
  const kube: FakeKube = new FakeKube({onChange: (what) => play(kube, what), now: clock.now})
  for (const name of ['team', 'other']) kube.put({apiVersion: 'v1', kind: 'Namespace', metadata: {name}})
  for (const name of ['worker-1', 'worker-2']) kube.put({apiVersion: 'v1', kind: 'Node', metadata: {name}})
  kube.put({apiVersion: API_VERSION, kind: 'CheckpointStore', metadata: {name: 'default'}, spec: {node: {}}})
  kube.put(pod('web'))
  const {report, events} = recordingReport()
  const stop = new AbortController()
  return {kube, events, stop, clock, tools: {report, signal: stop.signal, now: clock.now}}
}

/** Ends each object of a kind with a status as soon as it is made. */
const endsAs = (kind: string, status: object) => (kube: FakeKube, what: string) => {
  const [, name] = new RegExp(`^post ${kind} team/(.*)$`).exec(what) ?? []
  if (name === undefined) return
  void kube.get(refOf(kind, name)).then((object) => {
    if (object !== undefined) kube.put({...object, status})
  })
}

test('a checkpoint is asked for with the uid of the pod, followed, and told as it is stored', async () => {
  const {kube, tools, events} = cluster(
    endsAs('Checkpoint', {phase: 'Ready', location: 's3://b/p', nodeName: 'worker-1'}),
  )
  const made = await createCheckpoint(kube, asked, tools)
  expect(made).toMatchObject({
    metadata: {name: 'web-20261121-090000'},
    spec: {
      podRef: {name: 'web', uid: expect.stringMatching(/^[0-9a-f-]{36}$/) as unknown},
      podPolicy: 'Resume',
      owner: 'user',
    },
    status: {phase: 'Ready'},
  })
  expect(events.at(-1)).toMatchObject({type: 'task-done', task: 'checkpoint', text: 's3://b/p'})
})

test('asked again while one of the same pod is at work, that one is followed', async () => {
  const {kube, tools} = cluster()
  const first = await createCheckpoint(kube, {...asked, wait: false}, tools)
  const later = {...tools, now: () => tools.now() + 60_000}
  expect((await createCheckpoint(kube, {...asked, wait: false}, later)).metadata.uid).toBe(first.metadata.uid)
  expect(await listCheckpoints(kube)).toHaveLength(1)
  await createCheckpoint(kube, {...asked, podPolicy: 'Delete', wait: false}, later)
  expect(await listCheckpoints(kube)).toHaveLength(2)
})

test('a name that another checkpoint has is refused', async () => {
  const {kube, tools} = cluster()
  await createCheckpoint(kube, {...asked, name: 'one', wait: false}, tools)
  await createCheckpoint(kube, {...asked, name: 'one', wait: false}, tools)
  const other = createCheckpoint(kube, {...asked, name: 'one', podPolicy: 'Delete', wait: false}, tools)
  await expect(other).rejects.toMatchObject({code: 'CHECKPOINT_FAILED', exitCode: 11})
})

test('what failed in the cluster fails here, with its own code and words', async () => {
  const status = {phase: 'Failed', reason: 'STORE_UNREACHABLE', message: 's3://b does not answer.'}
  const {kube, tools, events} = cluster(endsAs('Checkpoint', status))
  await expect(createCheckpoint(kube, asked, tools)).rejects.toMatchObject({
    code: 'STORE_UNREACHABLE',
    message: 's3://b does not answer',
    exitCode: 11,
  })
  expect(events.at(-1)).toMatchObject({type: 'task-failed'})
})

test('a pod that is not there is told with names that are near', async () => {
  const {kube, tools} = cluster()
  kube.put(pod('web', {namespace: 'other'}))
  await expect(createCheckpoint(kube, {...asked, pod: 'wep'}, tools)).rejects.toMatchObject({
    code: 'POD_NOT_FOUND',
    suggestions: ['similar: team/web'],
  })
  await expect(createCheckpoint(kube, {...asked, pod: 'nothing-like-it'}, tools)).rejects.toMatchObject({
    suggestions: ['pods of team: team/web'],
  })
  kube.drop({apiVersion: 'v1', kind: 'Pod', namespace: 'team', name: 'web'})
  await expect(createCheckpoint(kube, asked, tools)).rejects.toMatchObject({
    suggestions: ['similar: other/web'],
  })
})

test('a pod that does not run, a container and a store that are not there are refused before anything is made', async () => {
  const {kube, tools} = cluster()
  kube.put(pod('slow', {phase: 'Pending'}))
  await expect(createCheckpoint(kube, {...asked, pod: 'slow'}, tools)).rejects.toMatchObject({
    code: 'POD_NOT_FOUND',
    message: 'pod team/slow is not running: it is Pending',
  })
  await expect(createCheckpoint(kube, {...asked, container: 'side'}, tools)).rejects.toMatchObject({
    message: 'pod team/web has no container "side", it has main',
  })
  await expect(createCheckpoint(kube, {...asked, store: 's3'}, tools)).rejects.toMatchObject({
    code: 'STORE_UNKNOWN',
    suggestions: ['known: default'],
  })
  expect(kube.changes).toEqual([])
})

test('Ctrl-C leaves the object at work, and says how to look', async () => {
  const {kube, tools, stop} = cluster()
  const following = createCheckpoint(kube, {...asked, name: 'web-1'}, tools)
  const ended = expect(following).rejects.toMatchObject({
    code: 'INTERRUPTED',
    exitCode: 130,
    message: 'stopped waiting; the cluster continues with it: clouder checkpoint inspect team/web-1',
  })
  await expect.poll(() => kube.holds(refOf('Checkpoint', 'web-1'))).toBe(true)
  stop.abort()
  await ended
  expect(kube.holds(refOf('Checkpoint', 'web-1'))).toBe(true)
})

test('a checkpoint that is not there is told with names that are near', async () => {
  const {kube} = cluster()
  kube.put({...refOf('Checkpoint', ''), metadata: place, spec: {podRef: {name: 'web'}}})
  await expect(readCheckpoint(kube, {namespace: 'team', name: 'web-2'})).rejects.toMatchObject({
    code: 'CHECKPOINT_UNKNOWN',
    suggestions: ['similar: team/web-1'],
  })
})

test('a restore of a checkpoint goes to the node and takes the name that were asked for', async () => {
  const {kube, tools} = cluster(
    endsAs('Restore', {phase: 'Restored', nodeName: 'worker-2', backend: 'Handler'}),
  )
  kube.put({
    ...refOf('Checkpoint', ''),
    metadata: place,
    spec: {podRef: {name: 'web'}},
    status: {phase: 'Ready'},
  })
  const restored = await restoreCheckpoint(kube, {...place, node: 'worker-2', as: 'web-b'}, tools)
  expect(restored).toMatchObject({
    spec: {checkpointName: 'web-1', nodeName: 'worker-2', podName: 'web-b'},
    status: {backend: 'Handler'},
  })
  await expect(restoreCheckpoint(kube, {...place, node: 'worker-9'}, tools)).rejects.toMatchObject({
    code: 'FLAG_INVALID',
    message: 'no node "worker-9", expected one of worker-1, worker-2',
  })
})

test('a move that was rolled back says where the pod runs', async () => {
  const status = {
    phase: 'RolledBack',
    reason: 'NODE_UNLIKE',
    message: 'worker-2 lacks avx',
    sourceNodeName: 'worker-1',
  }
  const {kube, tools} = cluster(endsAs('Migration', status))
  await expect(migratePod(kube, {...asked, node: 'worker-2'}, tools)).rejects.toMatchObject({
    code: 'NODE_UNLIKE',
    message: 'worker-2 lacks avx; pod web still runs on worker-1',
  })
  await expect(migratePod(kube, {...asked, node: 'worker-1'}, tools)).rejects.toMatchObject({
    message: 'pod team/web already runs on worker-1',
  })
})

test('a move or a restore that was brought about is told again, not refused', async () => {
  const {kube, tools} = cluster()
  const uid = (await kube.get({apiVersion: 'v1', kind: 'Pod', namespace: 'team', name: 'web'}))?.metadata.uid
  const metadata = (name: string) => ({name, namespace: 'team'})
  const moved = {
    phase: 'Succeeded',
    sourceNodeName: 'worker-2',
    targetNodeName: 'worker-1',
    newPodName: 'web',
  }
  const spec = {podName: 'web', nodeName: 'worker-1', storeName: 'default', owner: 'user'}
  const migration = {apiVersion: API_VERSION, kind: 'Migration', metadata: metadata('web-move'), spec}
  kube.put({...migration, status: {...moved, newPodUID: 'of-an-earlier-pod'}})
  const asking = () => migratePod(kube, {...asked, node: 'worker-1'}, tools)
  await expect(asking()).rejects.toMatchObject({code: 'MIGRATION_FAILED'})
  kube.put({...migration, status: {...moved, newPodUID: uid}})
  expect((await asking()).metadata.name).toBe('web-move')

  kube.put({
    apiVersion: API_VERSION,
    kind: 'Checkpoint',
    metadata: metadata('web-1'),
    spec: {podRef: {name: 'web'}},
    status: {phase: 'Ready'},
  })
  kube.put({
    apiVersion: API_VERSION,
    kind: 'Restore',
    metadata: metadata('web-back'),
    spec: {checkpointName: 'web-1'},
    status: {phase: 'Restored', podUID: uid, nodeName: 'worker-1'},
  })
  expect((await restoreCheckpoint(kube, place, tools)).metadata.name).toBe('web-back')
})

test('a policy is written whole, and changed by the same command', async () => {
  const {kube, tools} = cluster()
  const spec = {selector: {matchLabels: {app: 'web'}}, schedule: '0 3 * * *'}
  await applyPolicy(kube, place, spec, tools.signal)
  const changed = await applyPolicy(kube, place, {...spec, schedule: '0 4 * * *'}, tools.signal)
  expect(changed.spec).toEqual({...spec, schedule: '0 4 * * *', storeName: 'default'})
})

test('to verify is asked for by annotation, and the answer to that asking counts', async () => {
  const {kube, tools} = cluster((fake, what) => {
    if (what !== 'patch Checkpoint team/web-1') return
    const ref = refOf('Checkpoint', 'web-1')
    void fake.get(ref).then((object) => {
      if (object === undefined) return
      const at = object.metadata.annotations?.[VERIFY_ANNOTATION] ?? ''
      const verification = {
        request: at,
        checkTime: at,
        ok: false,
        reason: 'BLOB_TAMPERED',
        message: 'piece 3 is changed',
      }
      fake.put({...object, status: {phase: 'Ready', verification}})
    })
  })
  const old = {request: '2020-01-01T00:00:00Z', checkTime: '2020-01-01T00:00:00Z', ok: true, message: 'whole'}
  const status = {phase: 'Ready', verification: old}
  kube.put({...refOf('Checkpoint', ''), metadata: place, spec: {podRef: {name: 'web'}}, status})
  expect(await verifyCheckpoint(kube, place, tools)).toEqual({
    checkpoint: 'team/web-1',
    ok: false,
    reason: 'BLOB_TAMPERED',
    message: 'piece 3 is changed',
  })
})

test('gc deletes what retention lets go, never what a restore goes on from; a dry run deletes nothing', async () => {
  const {kube, clock, tools} = cluster()
  for (const number of [1, 2, 3]) {
    clock.advance(60_000)
    kube.put({
      ...refOf('Checkpoint', ''),
      metadata: {...place, name: `web-${number}`},
      spec: {podRef: {name: 'web'}},
      status: {phase: 'Ready', storedBytes: 10},
    })
  }
  kube.put({...refOf('Restore', ''), metadata: {...place, name: 'r'}, spec: {checkpointName: 'web-1'}})
  const options = {retention: {keepLast: 1}, dryRun: true}
  const planned = await collectCheckpoints(kube, options, tools)
  expect(planned.removed.map(({checkpoint}) => checkpoint)).toEqual(['team/web-2'])
  expect(await listCheckpoints(kube)).toHaveLength(3)
  await collectCheckpoints(kube, {...options, dryRun: false}, tools)
  expect((await listCheckpoints(kube)).map(({metadata}) => metadata.name)).toEqual(['web-1', 'web-3'])
})

test('what is asked for twice in a second is made twice, when the first is over', async () => {
  const {kube, tools} = cluster((fake, what) => {
    endsAs('Checkpoint', {phase: 'Ready', location: 's3://b/p', nodeName: 'worker-1'})(fake, what)
    endsAs('Restore', {phase: 'Failed', reason: 'RESTORE_UNSUPPORTED', message: 'no node'})(fake, what)
  })
  const first = await createCheckpoint(kube, asked, tools)
  const second = await createCheckpoint(kube, asked, tools)
  expect([first, second].map(({metadata}) => metadata.name)).toEqual([
    'web-20261121-090000',
    'web-20261121-090000-2',
  ])
  const restore = {namespace: 'team', name: first.metadata.name, as: 'copy'}
  await expect(restoreCheckpoint(kube, {...restore, node: 'worker-1'}, tools)).rejects.toThrow('no node')
  await expect(restoreCheckpoint(kube, restore, tools)).rejects.toThrow('no node')
  const names = kube.peek(API_VERSION, 'Restore').map(({metadata}) => metadata.name)
  expect(names).toEqual(['copy-20261121-090000', 'copy-20261121-090000-2'])
})
