import {expect, test} from 'vitest'
import type {KubeClient} from '../../../../src/kubernetes/types.ts'
import type {FakeKube} from '../../../support/fake-kube.ts'
import {API_VERSION, MIGRATION_LABEL, RESTORE_ANNOTATION} from '../../../../src/api/names.ts'
import type {NodeFeatures} from '../../../../src/api/sealed-checkpoint.ts'
import {migrationReconciler} from '../../../../src/programs/controller/migrate.ts'
import {refTo} from '../../../../src/programs/controller/reconcile-context.ts'
import {controllerScene} from '../../../support/controller-scene.ts'
import {holds, isOver, MEMORY, move, phaseOf, sceneWithPod} from '../../../support/migration-scene.ts'

test('a pod goes on at another node with its memory, under its name, with its labels and owners', async () => {
  const owner = {apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'web', uid: 'owner', controller: true}
  const scene = sceneWithPod({}, {metadata: {labels: {app: 'web'}, ownerReferences: [owner]}})
  move(scene, {nodeName: 'b'})
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({
    phase: 'Succeeded',
    sourceNodeName: 'a',
    targetNodeName: 'b',
    downtimeMilliseconds: expect.any(Number) as number,
  })
  expect(scene.pod('web')).toMatchObject({
    metadata: {
      labels: {app: 'web', [MIGRATION_LABEL]: 'move'},
      annotations: {[RESTORE_ANNOTATION]: 'move-move'},
      ownerReferences: [owner],
    },
    spec: {nodeName: 'b', runtimeClassName: 'clouder-restore'},
  })
  expect(scene.nodes.memoryOf('web')).toBe(MEMORY)
  await scene.end()
})

test('what was moved can be moved back: nothing of the first move binds it', async () => {
  const scene = sceneWithPod()
  move(scene)
  await scene.play({until: isOver(scene)})
  scene.put('Migration', 'back', {podName: 'web', nodeName: 'a'})
  await scene.play({until: () => phaseOf(scene, 'back') === 'Succeeded', each: holds(scene)})
  expect(scene.pod('web')).toMatchObject({spec: {nodeName: 'a'}})
  await scene.end()
})

test('the checkpoint of a move goes some time after its end, and the finalizer of the move at once', async () => {
  const scene = sceneWithPod()
  move(scene)
  await scene.play({until: isOver(scene)})
  expect(scene.object('Checkpoint', 'move-move')).toBeDefined()
  await scene.play({forMs: 60_000})
  expect(scene.object('Migration', 'move')?.metadata.finalizers ?? []).toEqual([])
  await scene.play({forMs: 15 * 60_000})
  expect(scene.object('Checkpoint', 'move-move')).toBeUndefined()
  await scene.end()
})

test('a pod of a ReplicaSet is made first, under a name of its own, and the source goes last', async () => {
  const owner = {apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-77', uid: 'owner', controller: true}
  const labels = {app: 'web', 'pod-template-hash': '77'}
  const scene = sceneWithPod({}, {metadata: {labels, ownerReferences: [owner]}})
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  await scene.play({forMs: 60_000})
  const [pod, ...others] = scene.pods()
  expect(others).toEqual([])
  expect(pod?.metadata.name).toMatch(/^web-77-/)
  expect(pod?.metadata).toMatchObject({labels, ownerReferences: [owner]})
  expect(scene.nodes.memoryOf(pod?.metadata.name ?? '')).toBe(MEMORY)
  await scene.end()
})

test('an owner that somebody adds to the new pod while it is handed over stays', async () => {
  const owner = {apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-77', uid: 'owner', controller: true}
  const other = {apiVersion: 'v1', kind: 'ConfigMap', name: 'group', uid: 'other'}
  let written = 0
  const reach = (kube: FakeKube): KubeClient => {
    const patch: KubeClient['patch'] = async (ref, changes, more) => {
      const pod = 'metadata' in changes && JSON.stringify(changes).includes('ownerReferences')
      // Between what the controller has read and what it writes.
      if (pod && written++ === 0) await kube.patch(ref, {metadata: {ownerReferences: [other]}})
      return kube.patch(ref, changes, more)
    }
    return new Proxy(kube, {
      get: (_, name) => {
        if (name === 'patch') return patch
        const value: unknown = Reflect.get(kube, name)
        return typeof value === 'function' ? (value.bind(kube) as unknown) : value
      },
    })
  }
  const scene = sceneWithPod({reach}, {metadata: {labels: {app: 'web'}, ownerReferences: [owner]}})
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect([phaseOf(scene), written]).toEqual(['Succeeded', 2])
  const moved = scene.pods().find(({metadata}) => metadata.name.startsWith('web-77-'))
  expect(moved?.metadata['ownerReferences']).toEqual([other, owner])
  await scene.end()
})

test.for([
  ['there is no such pod', {podName: 'absent'}, {}, 'POD_NOT_FOUND'],
  ['the pod is there already', {podName: 'web', nodeName: 'a'}, {}, 'MIGRATION_FAILED'],
  ['the node is unknown', {podName: 'web', nodeName: 'zz'}, {}, 'NODE_UNLIKE'],
  [
    'a DaemonSet has it',
    {podName: 'web'},
    {
      metadata: {
        ownerReferences: [{apiVersion: 'apps/v1', kind: 'DaemonSet', name: 'd', uid: 'd', controller: true}],
      },
    },
    'MIGRATION_FAILED',
  ],
] as const)('a move is refused before the pod stands still when %s', async ([, spec, more, reason]) => {
  const scene = sceneWithPod({}, more)
  scene.put('Migration', 'move', spec)
  await scene.play({until: isOver(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({phase: 'Failed', reason})
  expect(scene.kube.peek('clouder.dev/v1alpha1', 'Checkpoint')).toEqual([])
  await scene.end()
})

test.for<[string, Partial<NodeFeatures>, object, RegExp]>([
  ['another architecture', {arch: 'arm64'}, {}, /arm64/],
  ['a lesser CPU', {cpuFeatures: ['sse2']}, {}, /lacks avx2/],
  ['a cordon', {}, {unschedulable: true}, /cordoned/],
  ['a taint', {}, {taints: [{key: 'gpu', effect: 'NoSchedule'}]}, /taint gpu/],
])('a node is not chosen for %s', async ([, nodeFeatures, spec, words]) => {
  const scene = controllerScene()
  scene.nodes.addNode('a')
  scene.nodes.addNode('b', nodeFeatures, spec)
  scene.nodes.runPod('web', 'a', MEMORY)
  move(scene)
  await scene.play({until: isOver(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({
    phase: 'Failed',
    reason: 'NODE_UNLIKE',
    message: expect.stringMatching(words) as string,
  })
  await scene.end()
})

test('a pod with a volume on a disk of one node is not moved away from it, and is never made to stand still', async () => {
  const volumes = [{name: 'data', persistentVolumeClaim: {claimName: 'data'}}]
  const onlyOn = (node: string) => ({
    required: {
      nodeSelectorTerms: [
        {matchExpressions: [{key: 'kubernetes.io/hostname', operator: 'In', values: [node]}]},
      ],
    },
  })
  for (const [home, phase] of [
    ['a', 'Failed'],
    ['b', 'Succeeded'],
  ] as const) {
    const scene = sceneWithPod({}, {spec: {volumes}})
    scene.kube.put({
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: {name: 'data', namespace: 'default'},
      spec: {accessModes: ['ReadWriteOnce'], volumeName: 'pv'},
    })
    scene.kube.put({
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: {name: 'pv'},
      spec: {nodeAffinity: onlyOn(home)},
    })
    move(scene)
    await scene.play({until: isOver(scene), each: holds(scene)})
    expect(scene.status('Migration', 'move')).toMatchObject({phase})
    if (phase === 'Failed') {
      const {message} = scene.status('Migration', 'move') as {message: string}
      expect(message).toContain('b: the volume of claim data is not available there')
      expect(scene.kube.peek('clouder.dev/v1alpha1', 'Checkpoint')).toEqual([])
    }
    await scene.end()
  }
})

test('a dump that fails leaves the pod running where it is', async () => {
  const scene = sceneWithPod()
  scene.nodes.undumpable.add('web')
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  const status = scene.status('Migration', 'move')
  expect(status).toMatchObject({phase: 'Failed', reason: 'CHECKPOINT_FAILED'})
  // Nothing holds the pod but the pod.
  expect(status).not.toHaveProperty('checkpointName')
  expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
  await scene.end()
})

test('a target that cannot take the pod is heard before the source is ended', async () => {
  const scene = sceneWithPod()
  scene.nodes.unfit.set('b', 'app:1 is another image there')
  const {uid} = scene.pod('web')?.metadata ?? {}
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({
    phase: 'RolledBack',
    reason: 'IMAGE_UNAVAILABLE',
    message: expect.stringContaining('app:1 is another image there') as string,
  })
  expect(scene.pod('web')?.metadata.uid).toBe(uid)
  expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
  await scene.end()
})

test('a target whose agent does not answer is given up, and the source goes on', async () => {
  const scene = sceneWithPod()
  scene.nodes.dead.add('b')
  const {uid} = scene.pod('web')?.metadata ?? {}
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({
    phase: 'RolledBack',
    reason: 'RESTORE_UNSUPPORTED',
  })
  expect(scene.pod('web')?.metadata.uid).toBe(uid)
  await scene.end()
})

test('what cannot go on at the target goes on where it was, from the same checkpoint', async () => {
  const scene = sceneWithPod()
  scene.nodes.refusals.set('b', 'PRIVILEGES_WIDER: CAP_SYS_ADMIN')
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({phase: 'RolledBack', reason: 'PRIVILEGES_WIDER'})
  expect(scene.pod('web')).toMatchObject({spec: {nodeName: 'a'}})
  expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
  await scene.end()
})

test('a pod that was put back once is put back the next time too', async () => {
  const scene = sceneWithPod()
  scene.nodes.refusals.set('b', 'PRIVILEGES_WIDER: CAP_SYS_ADMIN')
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  scene.put('Migration', 'again', {podName: 'web', nodeName: 'b'})
  await scene.play({until: () => phaseOf(scene, 'again') === 'RolledBack', each: holds(scene)})
  expect(scene.pod('web')).toMatchObject({spec: {nodeName: 'a'}})
  expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
  await scene.end()
})

test('a source that its kubelet began anew while it stood still is put back from the checkpoint', async () => {
  const scene = sceneWithPod()
  move(scene)
  await scene.play({until: () => phaseOf(scene) === 'Preparing'})
  const pod = scene.pod('web')
  if (pod === undefined) throw new Error('no pod')
  const containerStatuses = [{name: 'main', ready: true, restartCount: 1, state: {running: {}}}]
  scene.kube.put({...pod, status: {...Object(pod['status']), containerStatuses}})
  scene.kube.drop({apiVersion: 'v1', kind: 'Node', name: 'b'})
  await scene.play({until: isOver(scene), each: () => expect(scene.nodes.isHeld(MEMORY)).toBe(true)})
  expect(scene.status('Migration', 'move')).toMatchObject({phase: 'RolledBack'})
  expect(scene.pod('web')?.metadata.uid).not.toBe(pod.metadata.uid)
  expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
  await scene.end()
})

test('a node that is cordoned for its drain takes its pod back all the same', async () => {
  const scene = controllerScene()
  scene.nodes.addNode('a', {}, {unschedulable: true})
  scene.nodes.addNode('b')
  scene.nodes.runPod('web', 'a', MEMORY)
  scene.nodes.refusals.set('b', 'NODE_UNLIKE: no')
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(phaseOf(scene)).toBe('RolledBack')
  expect(scene.pod('web')).toMatchObject({spec: {nodeName: 'a'}})
  await scene.end()
})

const UNPROVEN = {
  verdict: 'Unproven',
  container: 'main',
  source: 'HostPath',
  message: '/host/lib.so is of the node',
} as const

test('a pod whose name the new one needs is not deleted for a restore that is not proven: it is thawed', async () => {
  const scene = sceneWithPod()
  scene.nodes.obstacles.set('web', [UNPROVEN])
  const uid = scene.pod('web')?.metadata.uid
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({
    phase: 'RolledBack',
    reason: 'RESTORE_IMPOSSIBLE',
    message: expect.stringContaining(UNPROVEN.message) as string,
  })
  expect(scene.pod('web')?.metadata.uid).toBe(uid)
  expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
  await scene.end()
})

const OF_REPLICA_SET = {
  metadata: {
    labels: {app: 'web', 'pod-template-hash': '77'},
    ownerReferences: [
      {apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-77', uid: 'owner', controller: true},
    ],
  },
}

test('a pod of a ReplicaSet is tried all the same: it stands still until the new one has answered', async () => {
  const scene = sceneWithPod({}, OF_REPLICA_SET)
  scene.nodes.obstacles.set('web', [UNPROVEN])
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(phaseOf(scene)).toBe('Succeeded')
  await scene.end()
})

test('a new pod of a ReplicaSet that runs and is never ready is gone before the source goes on', async () => {
  const scene = sceneWithPod({}, OF_REPLICA_SET)
  scene.nodes.unready.add('b')
  scene.nodes.slow.add('b')
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(phaseOf(scene)).toBe('RolledBack')
  expect(scene.pods().map(({metadata}) => metadata.name)).toEqual(['web'])
  expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
  await scene.end()
})

test('what goes on nowhere stays in its checkpoint, which is named', async () => {
  const scene = sceneWithPod()
  scene.nodes.refusals.set('a', 'BLOB_TAMPERED: no').set('b', 'BLOB_TAMPERED: no')
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({
    phase: 'Failed',
    reason: 'BLOB_TAMPERED',
    message: expect.stringContaining(
      'its checkpoint default/move-move is kept; restore it with `clouder checkpoint restore default/move-move`',
    ) as string,
  })
  await scene.play({forMs: 60 * 60_000, each: holds(scene)})
  await scene.end()
})

test('a source whose node is off is taken from the API, and goes on elsewhere', async () => {
  const scene = sceneWithPod()
  move(scene)
  await scene.play({until: () => phaseOf(scene) === 'Preparing'})
  scene.nodes.dead.add('a')
  const [node] = scene.kube.peek('v1', 'Node').filter(({metadata}) => metadata.name === 'a')
  if (node === undefined) throw new Error('no node')
  scene.kube.put({...node, status: {conditions: [{type: 'Ready', status: 'Unknown'}]}})
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(phaseOf(scene)).toBe('Succeeded')
  expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
  await scene.end()
})

/** The checkpoint of the move, as somebody else leaves it. */
const changeCheckpoint = (scene: ReturnType<typeof sceneWithPod>, status: object): void => {
  const [made] = scene.kube.peek(API_VERSION, 'Checkpoint')
  if (made === undefined) throw new Error('no checkpoint')
  scene.kube.put({...made, status: {...Object(made['status']), ...status}})
}

test.for([
  ['that somebody let go', {frozen: false}, /the pod was resumed/],
  ['whose checkpoint failed', {phase: 'Failed', frozen: false}, /the checkpoint was deleted or is not Ready/],
] as const)('a source %s before it was ended is not ended', async ([, status, words]) => {
  const scene = sceneWithPod()
  const {uid} = scene.pod('web')?.metadata ?? {}
  move(scene)
  await scene.play({until: () => phaseOf(scene) === 'Moving'})
  changeCheckpoint(scene, status)
  await scene.play({until: isOver(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({
    phase: 'RolledBack',
    message: expect.stringMatching(words) as string,
  })
  expect(scene.pod('web')?.metadata.uid).toBe(uid)
  await scene.end()
})

test('a pod that somebody else made under the name is left, and the memory kept', async () => {
  const scene = sceneWithPod()
  move(scene)
  await scene.play({until: () => phaseOf(scene) === 'Moving'})
  const pod = scene.pod('web')
  if (pod === undefined) throw new Error('no pod')
  scene.kube.drop({apiVersion: 'v1', kind: 'Pod', namespace: 'default', name: 'web'})
  const {labels = {}} = pod.metadata
  scene.kube.put({...pod, metadata: {name: 'web', namespace: 'default', labels}})
  const strange = scene.pod('web')?.metadata.uid
  await scene.play({until: isOver(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({
    phase: 'Failed',
    message: expect.stringContaining(
      'another pod named web was created; checkpoint move-move contains the memory of the moved pod',
    ) as string,
  })
  expect(scene.pod('web')?.metadata.uid).toBe(strange)
  await scene.end()
})

test('a source that its kubelet is long in ending is waited for as long as its node is there', async () => {
  // With a volume to let go of; one without is gone at once.
  const volumes = [{name: 'data', persistentVolumeClaim: {claimName: 'data'}}]
  const scene = sceneWithPod({}, {spec: {volumes}})
  scene.kube.put({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {name: 'data', namespace: 'default'},
    spec: {accessModes: ['ReadWriteOnce'], volumeName: 'pv'},
  })
  scene.kube.put({apiVersion: 'v1', kind: 'PersistentVolume', metadata: {name: 'pv'}, spec: {}})
  const {uid} = scene.pod('web')?.metadata ?? {}
  move(scene)
  await scene.play({until: () => phaseOf(scene) === 'Moving'})
  scene.nodes.dead.add('a')
  await scene.play({forMs: 5 * 60_000, each: holds(scene)})
  expect([phaseOf(scene), scene.pod('web')?.metadata.uid]).toEqual(['Moving', uid])
  scene.nodes.dead.delete('a')
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(phaseOf(scene)).toBe('Succeeded')
  await scene.end()
})

test('of two moves of one pod the second waits for the first', async () => {
  const scene = sceneWithPod()
  move(scene)
  scene.clock.advance(1000)
  scene.put('Migration', 'second', {podName: 'web'})
  const waits = (): void => {
    if (!isOver(scene)()) expect(phaseOf(scene, 'second') ?? 'Pending').toBe('Pending')
  }
  await scene.play({until: isOver(scene), each: waits})
  await scene.play({until: () => phaseOf(scene, 'second') === 'Succeeded', each: holds(scene)})
  expect(scene.pod('web')).toMatchObject({spec: {nodeName: 'a'}})
  await scene.end()
})

test.for(['Checkpointing', 'Preparing', 'Moving', 'Verifying'])(
  'a move that is deleted while %s leaves the pod running',
  async (phase) => {
    const scene = sceneWithPod()
    move(scene)
    await scene.play({until: () => phaseOf(scene) === phase})
    const [made] = scene.kube.peek('clouder.dev/v1alpha1', 'Migration')
    if (made === undefined) throw new Error('no migration')
    scene.kube.put({...made, metadata: {...made.metadata, deletionTimestamp: '2026-11-21T09:00:00Z'}})
    await scene.play({until: () => scene.object('Migration', 'move') === undefined, each: holds(scene)})
    await scene.play({forMs: 60_000, each: holds(scene)})
    expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
    await scene.end()
  },
)

test('a source is not ended for what was heard of its move before that was given up', async () => {
  const scene = sceneWithPod()
  move(scene)
  await scene.play({until: () => phaseOf(scene, 'move') === 'Moving'})
  const heard = scene.object('Migration', 'move')
  if (heard === undefined) throw new Error('no migration')
  await scene.kube.patch(
    refTo('Migration', 'move', 'default'),
    {status: {phase: 'RollingBack'}},
    {subresource: 'status'},
  )
  await migrationReconciler.reconcile(heard, scene.heard(heard))
  expect(scene.pod('web')?.metadata.deletionTimestamp).toBeUndefined()
  expect(scene.pod('web')).toBeDefined()
  await scene.end()
})
