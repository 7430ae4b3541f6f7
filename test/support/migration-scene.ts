import {expect} from 'vitest'
import {controllerScene, type ControllerScene, type SceneOptions} from './controller-scene.ts'

export const MEMORY = 'token 1234'
const OVER = ['Succeeded', 'RolledBack', 'Failed']

export function sceneWithPod(options: SceneOptions = {}, more: {metadata?: object; spec?: object} = {}) {
  const scene = controllerScene(options)
  scene.nodes.addNode('a')
  scene.nodes.addNode('b')
  scene.nodes.runPod('web', 'a', MEMORY, more)
  scene.put('CheckpointStore', 'default', {node: {}})
  return scene
}

/** The same, on nodes that move from one to the other without a store. */
export function directScene(options: SceneOptions = {}, more: {metadata?: object; spec?: object} = {}) {
  const scene = controllerScene(options)
  scene.nodes.addNode('a', {directMoves: true})
  scene.nodes.addNode('b', {directMoves: true})
  scene.nodes.runPod('web', 'a', MEMORY, more)
  return scene
}

/** A pod of a ReplicaSet, whose new pod has a name of its own. */
export const OF_REPLICA_SET = {
  metadata: {
    labels: {app: 'web', 'pod-template-hash': '77'},
    ownerReferences: [
      {apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-77', uid: 'owner', controller: true},
    ],
  },
}

export const phaseOf = (scene: ControllerScene, name = 'move'): string | undefined =>
  (scene.status('Migration', name) as {phase?: string} | undefined)?.phase
export const isOver = (scene: ControllerScene) => () => OVER.includes(phaseOf(scene) ?? '')
/** After every step: somebody has the memory, and not two run with it. */
export const holds = (scene: ControllerScene) => () => {
  expect(scene.nodes.isHeld(MEMORY)).toBe(true)
  expect(scene.nodes.runningWith(MEMORY).length).toBeLessThan(2)
}
export const move = (scene: ControllerScene, spec: object = {}): void =>
  scene.put('Migration', 'move', {podName: 'web', ...spec})
