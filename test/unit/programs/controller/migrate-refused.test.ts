import {expect, test} from 'vitest'
import {KubernetesError} from '../../../../src/kubernetes/errors.ts'
import type {KubeObject} from '../../../../src/kubernetes/types.ts'
import {holds, isOver, MEMORY, move, sceneWithPod} from '../../../support/migration-scene.ts'

const RESTORED = 'clouder-restore'
const isRestored = ({kind, spec}: KubeObject): boolean =>
  kind === 'Pod' && (spec as {runtimeClassName?: string}).runtimeClassName === RESTORED
const quota = (hard: object, used: object): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ResourceQuota',
  metadata: {name: 'quota', namespace: 'default'},
  status: {hard, used},
})
const replica = {apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-77', uid: 'owner', controller: true}

test.for([
  ['its name is taken over', {}],
  ['the new one has another name', {metadata: {ownerReferences: [replica]}}],
] as const)('a pod that admission would refuse keeps its source, which goes on: %s', async ([, more]) => {
  const refuse = (object: KubeObject) => (isRestored(object) ? 'violates PodSecurity' : undefined)
  const scene = sceneWithPod({refuse}, more)
  const uid = scene.pod('web')?.metadata.uid
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({
    phase: 'RolledBack',
    reason: 'API_REJECTED',
    message: expect.stringContaining('violates PodSecurity') as string,
  })
  expect(scene.pod('web')?.metadata.uid).toBe(uid)
  expect(scene.nodes.runningWith(MEMORY)).toHaveLength(1)
  expect(scene.kube.changes.filter((change) => change.startsWith('delete Pod'))).toEqual([])
  await scene.end()
})

test('a quota that counts the source does not keep it from moving; it has room when the source is gone', async () => {
  const refuse = (object: KubeObject) =>
    isRestored(object) && scene.pod('web') !== undefined ? 'exceeded quota' : undefined
  const scene = sceneWithPod({refuse})
  scene.kube.put(quota({pods: '1'}, {pods: '1'}))
  move(scene)
  await scene.play({until: isOver(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({phase: 'Succeeded'})
  expect(scene.nodes.memoryOf('web')).toBe(MEMORY)
  await scene.end()
})

test('a quota with room is no reason to take a refusal for its own', async () => {
  const refuse = (object: KubeObject) => (isRestored(object) ? 'violates PodSecurity' : undefined)
  const scene = sceneWithPod({refuse})
  scene.kube.put(
    quota({pods: '5', 'requests.cpu': '4', 'count/secrets': '3'}, {pods: '1', 'count/secrets': '3'}),
  )
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({phase: 'RolledBack', reason: 'API_REJECTED'})
  await scene.end()
})

test('a pod that is refused once the source is gone is told, tried for a while, and its memory is kept', async () => {
  const refuse = (object: KubeObject) =>
    isRestored(object) && scene.pod('web') === undefined ? 'violates PodSecurity' : undefined
  const scene = sceneWithPod({refuse})
  move(scene)
  const told: unknown[] = []
  const each = () => {
    const {phase, message} = Object(scene.status('Migration', 'move')) as {phase?: string; message?: string}
    if (phase === 'Moving') told.push(message)
  }
  await scene.play({until: isOver(scene), forMs: 10 * 60_000, each})
  expect(told).toContainEqual(expect.stringMatching(/^retrying: .*violates PodSecurity/))
  expect(scene.status('Migration', 'move')).toMatchObject({
    phase: 'Failed',
    reason: 'API_REJECTED',
    message: expect.stringMatching(
      /violates PodSecurity.*clouder checkpoint restore default\/move-move/,
    ) as string,
  })
  await scene.play({forMs: 30 * 60_000})
  expect(scene.object('Checkpoint', 'move-move')).toBeDefined()
  await scene.end()
})

test('a refusal that passes is no end: the pod goes on at the target', async () => {
  let refusals = 0
  const refuse = (object: KubeObject) => {
    if (!isRestored(object) || scene.pod('web') !== undefined || refusals >= 3) return undefined
    refusals += 1
    return 'exceeded quota'
  }
  const scene = sceneWithPod({refuse})
  move(scene)
  await scene.play({until: isOver(scene)})
  expect(refusals).toBe(3)
  expect(scene.status('Migration', 'move')).toMatchObject({phase: 'Succeeded'})
  expect(scene.status('Migration', 'move')).not.toHaveProperty('refusalTime')
  await scene.end()
})

test('a webhook that does not answer does not keep the source standing still', async () => {
  const refuse = (object: KubeObject) => {
    if (isRestored(object)) throw new KubernetesError('API_UNAVAILABLE', 'failed calling webhook')
    return undefined
  }
  const scene = sceneWithPod({refuse})
  move(scene)
  await scene.play({until: isOver(scene), forMs: 5 * 60_000, each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({
    phase: 'RolledBack',
    reason: 'API_REJECTED',
    message: expect.stringContaining('failed calling webhook') as string,
  })
  expect(scene.nodes.runningWith(MEMORY)).toHaveLength(1)
  await scene.end()
})

test('a quota that is full hides no other refusal', async () => {
  const refuse = (object: KubeObject) => (isRestored(object) ? 'violates PodSecurity' : undefined)
  const scene = sceneWithPod({refuse})
  scene.kube.put(quota({pods: '1'}, {pods: '1'}))
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({phase: 'RolledBack', reason: 'API_REJECTED'})
  await scene.end()
})

const UNFIT = 'app:1 is another image there'

test('a node that refuses is not the only one: the next best is asked, and the refusal told', async () => {
  const scene = sceneWithPod()
  scene.nodes.addNode('c')
  scene.nodes.unfit.set('b', UNFIT)
  move(scene)
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({
    phase: 'Succeeded',
    targetNodeName: 'c',
    refusedTargets: [{nodeName: 'b', message: UNFIT}],
  })
  expect(scene.nodes.memoryOf('web')).toBe(MEMORY)
  await scene.end()
})

test('the node that was asked for is the only one', async () => {
  const scene = sceneWithPod()
  scene.nodes.addNode('c')
  scene.nodes.unfit.set('b', UNFIT)
  move(scene, {nodeName: 'b'})
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({
    phase: 'RolledBack',
    reason: 'IMAGE_UNAVAILABLE',
    targetNodeName: 'b',
  })
  await scene.end()
})

test('not every node of many is asked, and every one that was is told', async () => {
  const scene = sceneWithPod()
  const asked = new Set<string>()
  for (const name of ['b', 'c', 'd', 'e', 'f']) {
    if (name !== 'b') scene.nodes.addNode(name)
    scene.nodes.unfit.set(name, `${name} has no room`)
  }
  move(scene)
  const each = () => {
    holds(scene)()
    const {phase, targetNodeName} = Object(scene.status('Migration', 'move')) as Record<string, string>
    if (phase === 'Preparing' && targetNodeName !== undefined) asked.add(targetNodeName)
  }
  await scene.play({until: isOver(scene), each})
  expect(asked.size).toBe(3)
  const {phase, message} = Object(scene.status('Migration', 'move')) as Record<string, string>
  expect(phase).toBe('RolledBack')
  for (const name of asked) expect(message).toContain(`${name}: ${name} has no room`)
  await scene.end()
})
