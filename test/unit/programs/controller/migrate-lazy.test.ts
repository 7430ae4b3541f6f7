import {expect, test} from 'vitest'
import {
  directScene,
  holds,
  isOver,
  MEMORY,
  move,
  OF_REPLICA_SET,
  phaseOf,
} from '../../../support/migration-scene.ts'

const ABLE = {directMoves: true, postcopy: true}
const words = (text: string): string => expect.stringContaining(text) as string

/** A pod of a ReplicaSet, on a node that can serve its memory to another one. */
function lazyScene(more: Parameters<typeof directScene>[1] = OF_REPLICA_SET, able: object = ABLE) {
  const scene = directScene({}, more)
  scene.nodes.addNode('a', ABLE)
  scene.nodes.addNode('b', able)
  return scene
}

test('a pod runs on the target before its memory is there, and its source stays until it is', async () => {
  const scene = lazyScene()
  move(scene, {memoryPolicy: 'Lazy'})
  const seen: string[] = []
  const each = () => {
    holds(scene)()
    const {message} = Object(scene.status('Migration', 'move')) as {message?: string}
    if (scene.nodes.runningWith(MEMORY).some((name) => name !== 'web')) {
      if (phaseOf(scene) === 'Verifying') seen.push(message ?? '')
      if (phaseOf(scene) !== 'Succeeded') expect(scene.pod('web')).toBeDefined()
    }
  }
  await scene.play({until: isOver(scene), each})
  expect(seen).toContainEqual(words('of its memory have arrived, the rest is on a'))
  expect(scene.status('Migration', 'move')).toMatchObject({phase: 'Succeeded', way: 'Direct'})
  await scene.play({forMs: 60_000, each: holds(scene)})
  expect(scene.pod('web')).toBeUndefined()
  expect(scene.pods()).toHaveLength(1)
  await scene.end()
})

test.for([
  ['a pod without an owner', {}, {}, 'not a pod of a ReplicaSet'],
  ['with pre-copy', {preCopy: true}, OF_REPLICA_SET, 'preCopy copies memory before'],
  ['to be kept', {keep: true}, OF_REPLICA_SET, 'no memory to keep'],
  ['with hostNetwork', {}, {...OF_REPLICA_SET, spec: {hostNetwork: true}}, 'hostNetwork'],
] as const)(
  'a lazy move that cannot be is refused before the pod is frozen: %s',
  async ([, spec, more, why]) => {
    const scene = lazyScene(more)
    move(scene, {memoryPolicy: 'Lazy', ...spec})
    await scene.play({until: isOver(scene)})
    expect(scene.status('Migration', 'move')).toMatchObject({
      phase: 'Failed',
      message: words(`memoryPolicy Lazy: `),
    })
    expect(scene.status('Migration', 'move')).toMatchObject({message: words(why)})
    expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
    expect(scene.kube.changes.filter((change) => change.includes('Checkpoint'))).toEqual([])
    await scene.end()
  },
)

test('nodes that cannot both serve memory are no targets of a lazy move, and none that is tried next', async () => {
  const scene = lazyScene(OF_REPLICA_SET, {directMoves: true})
  move(scene, {memoryPolicy: 'Lazy'})
  await scene.play({forMs: 60_000, each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({message: words('node feature postcopy')})
  expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
  await scene.end()
})

test('a source that ends before the pod runs elsewhere is not restored from a checkpoint without memory', async () => {
  const scene = lazyScene()
  scene.nodes.pages.set('b', 'NotStarted')
  move(scene, {memoryPolicy: 'Lazy'})
  await scene.play({until: () => phaseOf(scene) === 'Verifying'})
  await scene.kube.delete({apiVersion: 'v1', kind: 'Pod', name: 'web', namespace: 'default'})
  await scene.play({until: isOver(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({
    ...{phase: 'Failed', reason: 'MEMORY_LOST'},
    message: words('ended or was deleted on a before its memory was on another node'),
  })
  expect(scene.pods()).toEqual([])
  await scene.end()
})
