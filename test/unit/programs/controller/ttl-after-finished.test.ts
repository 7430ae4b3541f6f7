import {expect, test} from 'vitest'
import type {ResourceKind} from '../../../../src/api/resources.ts'
import {controllerScene, type ControllerScene} from '../../../support/controller-scene.ts'

const HOUR_MS = 3_600_000
const MEMORY = 'token 1234'

function sceneWithPod() {
  const scene = controllerScene()
  for (const node of ['a', 'b']) scene.nodes.addNode(node)
  scene.nodes.runPod('web', 'a', MEMORY)
  return scene
}
const reaches = (scene: ControllerScene, kind: ResourceKind, name: string, phase: string) => () =>
  (scene.status(kind, name) as {phase?: string} | undefined)?.phase === phase
const names = (scene: ControllerScene, kind: ResourceKind) =>
  scene.kube.peek('clouder.dev/v1alpha1', kind).map(({metadata}) => metadata.name)

test('a move that is over goes a day later, or when it says so; the pod stays', async () => {
  const scene = sceneWithPod()
  scene.put('Migration', 'usual', {podName: 'web', storeName: 'default'})
  await scene.play({until: reaches(scene, 'Migration', 'usual', 'Succeeded')})
  scene.put('Migration', 'short', {podName: 'web', storeName: 'default', ttlSecondsAfterFinished: 0})
  await scene.play({until: reaches(scene, 'Migration', 'short', 'Succeeded')})
  // Not before the checkpoint that it used.
  await scene.play({forMs: HOUR_MS / 12})
  expect(names(scene, 'Migration')).toEqual(['usual', 'short'])
  await scene.play({forMs: HOUR_MS / 4})
  expect(names(scene, 'Checkpoint')).toEqual([])
  expect(names(scene, 'Migration')).toEqual(['usual'])
  await scene.play({forMs: 23 * HOUR_MS})
  expect(names(scene, 'Migration')).toEqual(['usual'])
  await scene.play({forMs: HOUR_MS})
  expect(names(scene, 'Migration')).toEqual([])
  expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
  await scene.end()
})

test('a Restore that is over goes, whatever came of it', async () => {
  const scene = sceneWithPod()
  scene.put('Checkpoint', 'saved', {podRef: {name: 'web'}, storeName: 'default', podPolicy: 'Resume'})
  await scene.play({until: reaches(scene, 'Checkpoint', 'saved', 'Ready')})
  const soon = {ttlSecondsAfterFinished: 3600}
  scene.put('Restore', 'good', {checkpointName: 'saved', podName: 'copy', ...soon})
  scene.put('Restore', 'bad', {checkpointName: 'absent', ...soon})
  await scene.play({until: reaches(scene, 'Restore', 'good', 'Restored')})
  await scene.play({forMs: HOUR_MS / 2})
  expect(names(scene, 'Restore')).toEqual(['good', 'bad'])
  await scene.play({forMs: HOUR_MS / 2 + 1000})
  expect(names(scene, 'Restore')).toEqual([])
  expect(scene.nodes.runningWith(MEMORY)).toEqual(['web', 'copy'])
  await scene.end()
})

test('a runtime that could not be resumed is not resumed by itself when that Restore goes', async () => {
  const scene = controllerScene()
  for (const node of ['a', 'b']) scene.nodes.addNode(node)
  const turn = (state: string): void => {
    const object = scene.object('Runtime', 'work')
    if (object !== undefined) scene.kube.put({...object, spec: {...Object(object['spec']), state}})
  }
  scene.put('Runtime', 'work', {image: 'i', storeName: 'default', state: 'Running'})
  await scene.play({until: reaches(scene, 'Runtime', 'work', 'Running')})
  turn('Paused')
  await scene.play({until: reaches(scene, 'Runtime', 'work', 'Paused')})
  for (const node of ['a', 'b']) scene.nodes.refusals.set(node, 'KEY_WRONG: no')
  turn('Running')
  await scene.play({until: reaches(scene, 'Runtime', 'work', 'Failed')})
  scene.nodes.refusals.clear()
  await scene.play({forMs: 26 * HOUR_MS})
  expect(names(scene, 'Restore')).toEqual([])
  expect(scene.status('Runtime', 'work')).toMatchObject({phase: 'Failed', reason: 'KEY_WRONG'})
  await scene.end()
})
