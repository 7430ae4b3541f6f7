import {expect, test} from 'vitest'
import {API_VERSION, MIGRATION_LABEL, RESTORE_ANNOTATION} from '../../../../src/api/names.ts'
import {checkpointSchema} from '../../../../src/api/resources.ts'
import {endUnowned} from '../../../../src/programs/controller/migrate-direct.ts'
import {controllerScene, type ControllerScene} from '../../../support/controller-scene.ts'
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

const checkpoints = (scene: ControllerScene) => scene.kube.peek(API_VERSION, 'Checkpoint')

test('a pod is moved without a store where both nodes can, and its dump goes when it runs', async () => {
  const scene = directScene()
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({
    phase: 'Succeeded',
    way: 'Direct',
    targetNodeName: 'b',
    transferredBytes: 1000,
    downtimeMilliseconds: expect.any(Number) as number,
  })
  expect(scene.pod('web')).toMatchObject({
    metadata: {annotations: {[RESTORE_ANNOTATION]: 'move-move'}},
    spec: {nodeName: 'b'},
  })
  expect(scene.nodes.memoryOf('web')).toBe(MEMORY)
  await scene.play({forMs: 20_000, each: holds(scene)})
  expect(checkpoints(scene)).toEqual([])
  await scene.end()
})

test('the whole move is never shorter than its downtime', async () => {
  const scene = directScene()
  move(scene)
  await scene.play({until: isOver(scene)})
  const {startTime, completionTime, downtimeMilliseconds} = scene.status('Migration', 'move') as {
    startTime: string
    completionTime: string
    downtimeMilliseconds: number
  }
  expect(downtimeMilliseconds).toBeGreaterThan(0)
  expect(Date.parse(completionTime) - Date.parse(startTime)).toBeGreaterThanOrEqual(downtimeMilliseconds)
  await scene.end()
})

test('with keep the dump is stored once the pod runs on the target, and stays', async () => {
  const scene = directScene()
  move(scene, {keep: true})
  const early = (): void => {
    holds(scene)()
    if (!isOver(scene)()) expect(checkpoints(scene)[0]?.['status']).not.toMatchObject({phase: 'Storing'})
  }
  await scene.play({until: isOver(scene), each: early})
  await scene.play({forMs: 60 * 60_000})
  expect(checkpoints(scene)).toMatchObject([
    {spec: {transfer: {nodeName: 'b', keep: true}}, status: {phase: 'Ready', frozen: false}},
  ])
  await scene.end()
})

test('keep keeps the checkpoint of a move by way of the store too', async () => {
  const scene = sceneWithPod()
  move(scene, {keep: true})
  await scene.play({until: isOver(scene)})
  await scene.play({forMs: 60 * 60_000})
  expect(checkpoints(scene)).toMatchObject([{status: {phase: 'Ready'}}])
  await scene.end()
})

test.for([
  ['the target cannot', {directMoves: true}, {}, {}, 'b cannot move a pod from node to node'],
  ['the source cannot', {}, {directMoves: true}, {}, 'a cannot move a pod from node to node'],
  ['neither can', {}, {}, {}, 'a and b cannot move a pod from node to node'],
] as const)('a move goes by way of the store where %s', async ([, a, b, spec, wayMessage]) => {
  const scene = controllerScene()
  scene.nodes.addNode('a', a)
  scene.nodes.addNode('b', b)
  scene.nodes.runPod('web', 'a', MEMORY)
  scene.put('CheckpointStore', 'default', {node: {}})
  move(scene, spec)
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({phase: 'Succeeded', way: 'Store', wayMessage})
  expect(checkpoints(scene)[0]?.['spec']).not.toHaveProperty('transfer')
  await scene.end()
})

test('the new pod of a ReplicaSet is made while the source is dumped, and starts when the move says so', async () => {
  const scene = directScene({}, OF_REPLICA_SET)
  move(scene)
  let seen: string | undefined
  const each = (): void => {
    holds(scene)()
    if (scene.pods().length > 1) seen ??= phaseOf(scene)
  }
  await scene.play({until: isOver(scene), each})
  expect([phaseOf(scene), seen]).toEqual(['Succeeded', 'Checkpointing'])
  await scene.play({forMs: 60_000, each: holds(scene)})
  const [pod, ...others] = scene.pods()
  expect(others).toEqual([])
  expect(pod?.metadata).toMatchObject({
    name: expect.stringMatching(/^web-77-/) as string,
    ownerReferences: OF_REPLICA_SET.metadata.ownerReferences,
  })
  expect(scene.nodes.memoryOf(pod?.metadata.name ?? '')).toBe(MEMORY)
  expect(checkpoints(scene)).toEqual([])
  await scene.end()
})

test('a ReplicaSet of no Deployment does not adopt the new pod before it is handed over', async () => {
  const {ownerReferences} = OF_REPLICA_SET.metadata
  const labels = {app: 'web'}
  const scene = directScene({}, {metadata: {labels, ownerReferences}})
  move(scene)
  const orphans: string[] = []
  const each = (): void => {
    holds(scene)()
    // It would adopt it, see one too many, and delete the one that is not ready.
    for (const {metadata} of scene.pods()) {
      expect(metadata.labels).toMatchObject(labels)
      if (!JSON.stringify(metadata['ownerReferences'] ?? []).includes('"controller":true'))
        orphans.push(metadata.name)
    }
  }
  await scene.play({until: isOver(scene), each})
  expect([phaseOf(scene), orphans]).toEqual(['Succeeded', []])
  await scene.play({forMs: 60_000, each})
  expect(scene.pods().map(({metadata}) => metadata['ownerReferences'])).toEqual([ownerReferences])
  await scene.end()
})

test.for([
  ['a bare pod', {}],
  ['a pod of a ReplicaSet', OF_REPLICA_SET],
] as const)('of %s whose dump fails nothing is left on the target', async ([, more]) => {
  const scene = directScene({}, more)
  scene.nodes.undumpable.add('web')
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({phase: 'Failed', reason: 'CHECKPOINT_FAILED'})
  expect(scene.pods().map(({metadata}) => metadata.name)).toEqual(['web'])
  expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
  await scene.end()
})

test.for([
  [
    'does not receive it',
    (scene: ControllerScene) => scene.nodes.unreachable.add('b'),
    'RESTORE_UNSUPPORTED',
  ],
  ['is off', (scene: ControllerScene) => scene.nodes.dead.add('b'), 'RESTORE_UNSUPPORTED'],
  ['refuses it', (scene: ControllerScene) => scene.nodes.unfit.set('b', 'no room'), 'IMAGE_UNAVAILABLE'],
] as const)('a source whose target %s is thawed within a minute', async ([, spoil, reason]) => {
  for (const more of [{}, OF_REPLICA_SET]) {
    const scene = directScene({}, more)
    const {uid} = scene.pod('web')?.metadata ?? {}
    spoil(scene)
    move(scene)
    let frozenMs = 0
    const each = (): void => {
      holds(scene)()
      if (scene.nodes.runningWith(MEMORY).length === 0 && frozenMs === 0) frozenMs = scene.clock.now()
    }
    await scene.play({until: isOver(scene), each})
    expect(scene.status('Migration', 'move')).toMatchObject({phase: 'RolledBack', reason})
    expect(scene.clock.now() - frozenMs).toBeLessThan(60_000)
    await scene.play({forMs: 20_000, each: holds(scene)})
    expect(scene.pod('web')?.metadata.uid).toBe(uid)
    expect(scene.pods()).toHaveLength(1)
    expect(checkpoints(scene)).toEqual([])
    await scene.end()
  }
})

test('a target that goes on receiving is waited for', async () => {
  const scene = directScene()
  scene.nodes.unreachable.add('b')
  move(scene)
  await scene.play({until: () => phaseOf(scene) === 'Preparing'})
  for (let receivedBytes = 1; receivedBytes < 12; receivedBytes++) {
    await scene.play({forMs: 20_000, each: holds(scene)})
    const [made] = scene.kube.peek(API_VERSION, 'Migration')
    if (made === undefined) throw new Error('no migration')
    const transfer = {receivedBytes, progressTime: new Date(scene.clock.now()).toISOString()}
    scene.kube.put({...made, status: {...Object(made['status']), transfer}})
  }
  expect(phaseOf(scene)).toBe('Preparing')
  scene.nodes.unreachable.delete('b')
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(phaseOf(scene)).toBe('Succeeded')
  await scene.end()
})

test.for([
  ['a bare pod', {}],
  ['a pod of a ReplicaSet', OF_REPLICA_SET],
] as const)(
  '%s that the target cannot start goes on where it was, from the dump that was kept there',
  async ([, more]) => {
    const scene = directScene({}, more)
    scene.nodes.refusals.set('b', 'PRIVILEGES_WIDER: CAP_SYS_ADMIN')
    move(scene)
    await scene.play({until: isOver(scene), each: holds(scene)})
    expect(scene.status('Migration', 'move')).toMatchObject({phase: 'RolledBack', reason: 'PRIVILEGES_WIDER'})
    expect(scene.pod('web')).toMatchObject({spec: {nodeName: 'a'}})
    expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
    await scene.play({forMs: 20_000, each: holds(scene)})
    expect(checkpoints(scene)).toEqual([])
    await scene.end()
  },
)

test('what goes on nowhere is stored, and its checkpoint is named', async () => {
  const scene = directScene()
  scene.nodes.refusals.set('a', 'BLOB_TAMPERED: no').set('b', 'BLOB_TAMPERED: no')
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({
    phase: 'Failed',
    message: expect.stringContaining('its checkpoint default/move-move is kept') as string,
  })
  await scene.play({forMs: 60 * 60_000, each: holds(scene)})
  expect(checkpoints(scene)).toMatchObject([{status: {phase: 'Ready'}}])
  await scene.end()
})

test.for([
  ['a bare pod', {}],
  ['a pod of a ReplicaSet', OF_REPLICA_SET],
] as const)('%s whose dump cannot be sent goes on by way of the store', async ([, more]) => {
  for (const refusal of [undefined, 'PRIVILEGES_WIDER: no']) {
    const scene = directScene({}, more)
    scene.nodes.unsendable.add('web')
    if (refusal !== undefined) scene.nodes.refusals.set('b', refusal)
    move(scene)
    await scene.play({until: isOver(scene), each: holds(scene)})
    expect(scene.status('Migration', 'move')).toMatchObject({
      phase: refusal === undefined ? 'Succeeded' : 'RolledBack',
      way: 'Store',
      wayMessage: 'the dump of this pod cannot be sent from node to node',
    })
    await scene.play({forMs: 60_000, each: holds(scene)})
    expect(scene.nodes.runningWith(MEMORY)).toHaveLength(1)
    expect(scene.pods()).toHaveLength(1)
    await scene.end()
  }
})

test('what the API server would refuse is found before the pod is frozen', async () => {
  const scene = directScene({
    refuse: ({kind, metadata}) =>
      kind === 'Pod' && metadata.name === 'web' ? 'a webhook says no' : undefined,
  })
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({phase: 'Failed', reason: 'API_REJECTED'})
  expect(checkpoints(scene)).toEqual([])
  await scene.end()
})

test('a source that is lost after it was ended does not stop the move', async () => {
  const scene = directScene()
  move(scene)
  await scene.play({until: () => phaseOf(scene) === 'Verifying'})
  scene.nodes.dead.add('a')
  scene.kube.drop({apiVersion: 'v1', kind: 'Node', name: 'a'})
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(phaseOf(scene)).toBe('Succeeded')
  await scene.end()
})

test.for(['Checkpointing', 'Preparing', 'Moving', 'Verifying'])(
  'a direct move that is deleted while %s leaves one pod running, and no dump',
  async (phase) => {
    for (const more of [{}, OF_REPLICA_SET]) {
      const scene = directScene({}, more)
      move(scene)
      await scene.play({until: () => phaseOf(scene) === phase})
      const [made] = scene.kube.peek(API_VERSION, 'Migration')
      if (made === undefined) throw new Error('no migration')
      scene.kube.put({...made, metadata: {...made.metadata, deletionTimestamp: '2026-11-21T09:00:00Z'}})
      await scene.play({until: () => scene.object('Migration', 'move') === undefined, each: holds(scene)})
      await scene.play({forMs: 3 * 60_000, each: holds(scene)})
      expect(scene.nodes.runningWith(MEMORY)).toHaveLength(1)
      expect(checkpoints(scene)).toEqual([])
      await scene.end()
    }
  },
)

test.for(['Checkpointing', 'Preparing', 'Moving', 'Verifying', 'RollingBack'])(
  'a move whose Checkpoint is deleted while %s leaves one pod running with its memory',
  async (phase) => {
    for (const more of [{}, OF_REPLICA_SET])
      for (const [way, scene] of [
        ['Direct', directScene({}, more)],
        ['Store', sceneWithPod({}, more)],
      ] as const) {
        if (phase === 'RollingBack') scene.nodes.refusals.set('b', 'PRIVILEGES_WIDER: no')
        move(scene)
        await scene.play({until: () => phaseOf(scene) === phase, each: holds(scene)})
        await scene.play({
          until: () => checkpoints(scene)[0]?.metadata.finalizers !== undefined,
          each: holds(scene),
        })
        await scene.kube.delete({
          ...{apiVersion: API_VERSION, kind: 'Checkpoint'},
          ...{namespace: 'default', name: 'move-move'},
        })
        await scene.play({until: isOver(scene), each: holds(scene)})
        await scene.play({forMs: 3 * 60_000, each: holds(scene)})
        expect(
          scene.nodes.runningWith(MEMORY),
          `${way}: ${JSON.stringify(scene.status('Migration', 'move'))}`,
        ).toHaveLength(1)
        expect(scene.pods()).toHaveLength(1)
        expect(checkpoints(scene)).toEqual([])
        await scene.end()
      }
  },
)

test('a dump whose Migration was removed by force goes only where that leaves one pod', async () => {
  const checkpoint = (frozen: boolean, uid: string) =>
    checkpointSchema.parse({
      metadata: {name: 'move-x', namespace: 'default', uid: 'c', labels: {[MIGRATION_LABEL]: 'x'}},
      spec: {podRef: {name: 'web'}, transfer: {nodeName: 'b'}},
      status: {phase: 'Dumped', frozen, podUID: uid},
    })
  const decide = async (pods: readonly string[], isReady: boolean): Promise<unknown> => {
    const scene = controllerScene()
    scene.nodes.addNode('a')
    const source = pods.includes('source') ? scene.nodes.runPod('web', 'a', MEMORY) : undefined
    if (pods.includes('new'))
      scene.kube.put({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {name: 'new', namespace: 'default', labels: {[MIGRATION_LABEL]: 'x'}},
        spec: {nodeName: 'a', containers: [{name: 'main', image: 'app:1'}]},
        status: {phase: 'Running', conditions: [{type: 'Ready', status: isReady ? 'True' : 'False'}]},
      })
    const made = checkpoint(true, source?.metadata.uid ?? 'gone')
    const object = {apiVersion: API_VERSION, kind: 'Checkpoint', ...made}
    scene.kube.put(object)
    const [put] = checkpoints(scene)
    if (put === undefined) throw new Error('no checkpoint')
    await endUnowned(put, checkpointSchema.parse(put), scene.heard(put))
    const [now] = checkpoints(scene)
    await scene.end()
    return now === undefined || now.metadata.deletionTimestamp !== undefined
      ? 'removed'
      : checkpointSchema.parse(now).status?.phase
  }
  expect(await decide(['source'], true)).toBe('removed')
  expect(await decide(['source', 'new'], true)).toBe('Dumped')
  expect(await decide(['new'], true)).toBe('removed')
  expect(await decide(['new'], false)).toBe('Dumped')
  expect(await decide([], false)).toBe('Storing')
})
