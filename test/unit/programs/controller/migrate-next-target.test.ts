import {expect, test} from 'vitest'
import {API_VERSION} from '../../../../src/api/names.ts'
import type {ControllerScene, SceneOptions} from '../../../support/controller-scene.ts'
import {
  directScene,
  holds,
  isOver,
  MEMORY,
  move,
  OF_REPLICA_SET,
  phaseOf,
} from '../../../support/migration-scene.ts'

const TARGETS = ['b', 'c', 'd', 'e'] as const

function sceneWithTargets(options: SceneOptions = {}, more: object = {}): ControllerScene {
  const scene = directScene(options, more)
  for (const name of TARGETS.slice(1)) scene.nodes.addNode(name, {directMoves: true})
  return scene
}

const refusals: readonly [string, (scene: ControllerScene, node: string) => unknown][] = [
  ['has no room, before the pod is frozen', ({nodes}, node) => nodes.full.add(node)],
  ['cannot run it, after the dump', ({nodes}, node) => nodes.unfit.set(node, 'another image')],
]
const pods = [
  ['a bare pod', {}],
  ['a pod of a ReplicaSet', OF_REPLICA_SET],
] as const

test.for(refusals.flatMap(([why, refuse]) => pods.map(([what, more]) => [what, why, refuse, more] as const)))(
  '%s whose target %s is moved to the next one',
  async ([, , refuse, more]) => {
    const scene = sceneWithTargets({}, more)
    refuse(scene, 'b')
    refuse(scene, 'c')
    move(scene)
    await scene.play({until: isOver(scene), each: holds(scene)})
    expect(scene.status('Migration', 'move')).toMatchObject({
      ...{phase: 'Succeeded', way: 'Direct', targetNodeName: 'd'},
      refusedTargets: [{nodeName: 'b'}, {nodeName: 'c'}],
    })
    await scene.play({forMs: 60_000, each: holds(scene)})
    const [pod, ...others] = scene.pods()
    expect(others).toEqual([])
    expect(pod).toMatchObject({spec: {nodeName: 'd'}})
    expect(scene.nodes.memoryOf(pod?.metadata.name ?? '')).toBe(MEMORY)
    expect(scene.kube.peek(API_VERSION, 'Checkpoint')).toEqual([])
    await scene.end()
  },
)

test('a pod is not frozen for a target without room', async () => {
  const scene = sceneWithTargets()
  for (const name of TARGETS.slice(0, 2)) scene.nodes.full.add(name)
  move(scene)
  const targets = new Set<unknown>()
  const each = (): void => {
    holds(scene)()
    const {targetNodeName, freezeTime} = Object(scene.status('Migration', 'move')) as Record<string, unknown>
    if (freezeTime !== undefined) targets.add(targetNodeName)
  }
  await scene.play({until: isOver(scene), each})
  expect([...targets]).toEqual(['d'])
  await scene.end()
})

test.for(refusals)(
  'after three nodes of which each %s the pod stays, and all are named',
  async ([, refuse]) => {
    const scene = sceneWithTargets()
    const {uid} = scene.pod('web')?.metadata ?? {}
    for (const name of TARGETS) refuse(scene, name)
    move(scene)
    await scene.play({until: isOver(scene), each: holds(scene)})
    expect(scene.status('Migration', 'move')).toMatchObject({
      phase: 'RolledBack',
      message: expect.stringMatching(/b: .*; c: .*; d: /) as string,
      refusedTargets: [{nodeName: 'b'}, {nodeName: 'c'}, {nodeName: 'd'}],
    })
    await scene.play({forMs: 60_000, each: holds(scene)})
    expect(scene.pods()).toMatchObject([{metadata: {uid}}])
    expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
    expect(scene.kube.peek(API_VERSION, 'Checkpoint')).toEqual([])
    await scene.end()
  },
)

test.for(refusals)('a target that was named and %s is the only one', async ([, refuse]) => {
  const scene = sceneWithTargets()
  refuse(scene, 'c')
  move(scene, {nodeName: 'c'})
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(['RolledBack', 'Failed']).toContain(phaseOf(scene))
  expect(scene.pod('web')).toMatchObject({spec: {nodeName: 'a'}})
  expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
  await scene.end()
})

test('a move that is deleted while it tries another node leaves the pod where it is', async () => {
  const scene = sceneWithTargets()
  scene.nodes.unfit.set('b', 'another image')
  move(scene)
  await scene.play({until: () => phaseOf(scene) === 'RollingBack', each: holds(scene)})
  const [made] = scene.kube.peek(API_VERSION, 'Migration')
  if (made === undefined) throw new Error('no migration')
  scene.kube.put({...made, metadata: {...made.metadata, deletionTimestamp: '2026-11-21T09:00:00Z'}})
  await scene.play({until: () => scene.object('Migration', 'move') === undefined, each: holds(scene)})
  await scene.play({forMs: 60_000, each: holds(scene)})
  expect(scene.pods()).toMatchObject([{spec: {nodeName: 'a'}}])
  expect(scene.kube.peek(API_VERSION, 'Checkpoint')).toEqual([])
  await scene.end()
})
