import {isDeepStrictEqual} from 'node:util'
import {expect, test} from 'vitest'
import {API_VERSION} from '../../../../src/api/names.ts'
import type {ControllerScene} from '../../../support/controller-scene.ts'
import {directScene, holds, isOver, move, sceneWithPod} from '../../../support/migration-scene.ts'

const transferOf = (scene: ControllerScene): unknown =>
  (scene.kube.peek(API_VERSION, 'Checkpoint')[0]?.['spec'] as {transfer?: unknown} | undefined)?.transfer

/** Samples of the metrics of moves, without those that say where the buckets of a histogram end. */
async function movesIn(scene: ControllerScene): Promise<readonly string[]> {
  const lines = (await scene.metrics()).split('\n')
  return lines.filter((line) => /^clouder_migration(s_total|_\w+_count)\{/.test(line))
}

/** Moves the pod; what the source node was asked to do, and each thing that the Migration told of pre-copy. */
async function moved(scene: ControllerScene, spec: object): Promise<{transfer: unknown; told: unknown[]}> {
  move(scene, spec)
  const told: unknown[] = []
  let transfer: unknown
  const each = (): void => {
    holds(scene)()
    transfer ??= transferOf(scene)
    const {preCopy} = (scene.status('Migration', 'move') ?? {}) as {preCopy?: unknown}
    if (preCopy !== undefined && !isDeepStrictEqual(preCopy, told.at(-1))) told.push(preCopy)
  }
  await scene.play({until: isOver(scene), each})
  return {transfer, told}
}

test('the rounds that the source node reports are those of the move, and it is measured as one with them', async () => {
  const scene = directScene()
  const rounds = [1, 2, 3].map((round) => ({rounds: round, copiedBytes: round * 1000}))
  scene.nodes.copies.set('web', rounds)
  const {transfer, told} = await moved(scene, {preCopy: true})
  expect(transfer).toEqual({nodeName: 'b', preCopy: true})
  expect(told).toEqual(rounds)
  expect(scene.status('Migration', 'move')).toMatchObject({phase: 'Succeeded', way: 'Direct'})
  expect(await movesIn(scene)).toEqual([
    'clouder_migrations_total{result="Succeeded",way="PreCopy"} 1',
    'clouder_migration_downtime_seconds_count{way="PreCopy"} 1',
    'clouder_migration_transferred_bytes_count{way="PreCopy"} 1',
  ])
  await scene.end()
})

test('a move whose memory could not be copied before says why, and is measured as one without rounds', async () => {
  const scene = directScene()
  const why = {rounds: 0, copiedBytes: 0, message: 'the kernel of the node does not track writes'}
  scene.nodes.copies.set('web', [why])
  const {told} = await moved(scene, {preCopy: true})
  expect(told).toEqual([why])
  expect(scene.status('Migration', 'move')).toMatchObject({phase: 'Succeeded', preCopy: why})
  expect(await movesIn(scene)).toContain('clouder_migrations_total{result="Succeeded",way="Direct"} 1')
  await scene.end()
})

test.for([
  ['none are wanted', directScene, {}, {nodeName: 'b'}, 'Direct'],
  ['none are wanted by name', directScene, {preCopy: false}, {nodeName: 'b'}, 'Direct'],
  ['the move goes by way of the store', sceneWithPod, {preCopy: true}, undefined, 'Store'],
] as const)('no rounds are asked for where %s', async ([, sceneOf, spec, wanted, way]) => {
  const scene = sceneOf()
  scene.nodes.copies.set('web', [{rounds: 1, copiedBytes: 1000}])
  const {transfer, told} = await moved(scene, spec)
  expect(transfer).toEqual(wanted)
  expect(told).toEqual([])
  expect(await movesIn(scene)).toContain(`clouder_migrations_total{result="Succeeded",way="${way}"} 1`)
  await scene.end()
})

test('a move that fails after rounds is counted as one with them', async () => {
  const scene = directScene()
  scene.nodes.copies.set('web', [{rounds: 1, copiedBytes: 1000}])
  scene.nodes.unfit.set('b', 'no room')
  await moved(scene, {preCopy: true})
  expect(scene.status('Migration', 'move')).toMatchObject({phase: 'RolledBack', preCopy: {rounds: 1}})
  expect(await movesIn(scene)).toContain('clouder_migrations_total{result="RolledBack",way="PreCopy"} 1')
  await scene.end()
})

test('a move whose dump is stored in the end is measured as one by way of the store', async () => {
  const scene = directScene()
  scene.nodes.copies.set('web', [{rounds: 1, copiedBytes: 1000}])
  scene.nodes.unsendable.add('web')
  await moved(scene, {preCopy: true})
  expect(scene.status('Migration', 'move')).toMatchObject({phase: 'Succeeded', way: 'Store'})
  expect(await movesIn(scene)).toContain('clouder_migrations_total{result="Succeeded",way="Store"} 1')
  await scene.end()
})

test('rounds for a node that refuses the pod are not those for the next one', async () => {
  const scene = directScene()
  scene.nodes.addNode('c', {directMoves: true})
  scene.nodes.unfit.set('b', 'another image')
  scene.nodes.copies.set('web', [{rounds: 1, copiedBytes: 1000}])
  await moved(scene, {preCopy: true})
  const status = scene.status('Migration', 'move')
  expect(status).toMatchObject({phase: 'Succeeded', way: 'Direct', targetNodeName: 'c'})
  expect(status).not.toHaveProperty('preCopy')
  expect(await movesIn(scene)).toContain('clouder_migrations_total{result="Succeeded",way="Direct"} 1')
  await scene.end()
})
