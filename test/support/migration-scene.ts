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
