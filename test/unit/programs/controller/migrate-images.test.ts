import {expect, test} from 'vitest'
import {holds, isOver, MEMORY, move, phaseOf, sceneWithPod} from '../../../support/migration-scene.ts'

function lacking(): ReturnType<typeof sceneWithPod> {
  const scene = sceneWithPod({}, {spec: {nodeName: 'a', imagePullSecrets: [{name: 'login'}]}})
  scene.nodes.lacking.set('b', ['app:1'])
  return scene
}

const absentOf = (scene: ReturnType<typeof sceneWithPod>): unknown =>
  (scene.status('Migration', 'move') as {missingImages?: unknown} | undefined)?.missingImages

test('images that the target lacks are pulled there with the secrets of the pod, while it still runs', async () => {
  const scene = lacking()
  move(scene, {nodeName: 'b'})
  await scene.play({until: () => scene.pod('move-pull') !== undefined, each: holds(scene)})
  expect(phaseOf(scene)).toBe('Pending')
  expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
  expect(scene.pod('move-pull')).toMatchObject({
    spec: {nodeName: 'b', imagePullSecrets: [{name: 'login'}], containers: [{image: 'app:1'}]},
  })
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({phase: 'Succeeded', targetNodeName: 'b'})
  expect(scene.pod('move-pull')).toBeUndefined()
  await scene.end()
})

test('an image that the target cannot pull ends a move before the pod stands still', async () => {
  const scene = lacking()
  move(scene, {nodeName: 'b'})
  await scene.play({until: () => absentOf(scene) !== undefined})
  scene.nodes.dead.add('b')
  await scene.play({until: () => scene.pod('move-pull') !== undefined})
  const pod = scene.pod('move-pull')
  if (pod === undefined) throw new Error('no pod')
  const waiting = {reason: 'ErrImagePull', message: 'app:1: not found'}
  scene.kube.put({
    ...pod,
    status: {phase: 'Pending', containerStatuses: [{name: 'image-0', state: {waiting}}]},
  })
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(scene.status('Migration', 'move')).toMatchObject({
    phase: 'Failed',
    reason: 'IMAGE_UNAVAILABLE',
    message: 'app:1: not found',
  })
  expect(scene.kube.peek('clouder.dev/v1alpha1', 'Checkpoint')).toEqual([])
  expect(scene.nodes.runningWith(MEMORY)).toEqual(['web'])
  await scene.end()
})

test('a target that does not tell what it lacks is asked again when the pod has been saved', async () => {
  const scene = sceneWithPod()
  scene.nodes.dead.add('b')
  move(scene, {nodeName: 'b'})
  await scene.play({until: () => phaseOf(scene) === 'Checkpointing', each: holds(scene)})
  scene.nodes.dead.delete('b')
  await scene.play({until: isOver(scene), each: holds(scene)})
  expect(phaseOf(scene)).toBe('Succeeded')
  await scene.end()
})

test('a node that lists the images is not asked for them', async () => {
  const scene = sceneWithPod()
  const [node] = scene.kube.peek('v1', 'Node').filter(({metadata}) => metadata.name === 'b')
  if (node === undefined) throw new Error('there is no node b')
  const images = [{names: ['docker.io/library/app@sha256:00', 'docker.io/library/app:1']}]
  scene.kube.put({...node, status: {...Object(node['status']), images}})
  const seen = new Set<unknown>()
  move(scene, {nodeName: 'b'})
  await scene.play({
    until: isOver(scene),
    each: () => {
      holds(scene)()
      seen.add(phaseOf(scene))
    },
  })
  expect(phaseOf(scene)).toBe('Succeeded')
  expect(seen).not.toContain('Pending')
  await scene.end()
})
