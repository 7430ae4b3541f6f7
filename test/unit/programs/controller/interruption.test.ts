import {expect, test} from 'vitest'
import {INTERRUPTION_ANNOTATION, POLICY_LABEL} from '../../../../src/api/names.ts'
import {controllerScene, type ControllerScene} from '../../../support/controller-scene.ts'

const API = 'clouder.dev/v1alpha1'
const NODE = {apiVersion: 'v1', kind: 'Node', name: 'a'}

/** A pod on node `a` that a policy opts in, with another node that restores, or without. */
function opted({withOther, pod = 'web'}: {withOther: boolean; pod?: string}): ControllerScene {
  const scene = controllerScene()
  scene.nodes.addNode('a')
  if (withOther) scene.nodes.addNode('b')
  scene.nodes.runPod(pod, 'a', 'memory', {metadata: {labels: {app: 'web'}}})
  scene.put('CheckpointPolicy', 'spot', {
    selector: {matchLabels: {app: 'web'}},
    checkpointOnInterruption: true,
    storeName: 'default',
  })
  return scene
}

const announce = (scene: ControllerScene, ...ids: readonly string[]): Promise<unknown> =>
  report(scene, JSON.stringify(ids.map((id) => ({id, kind: 'terminate'}))))

const report = (scene: ControllerScene, text: string): Promise<unknown> =>
  scene.kube.patch(NODE, {metadata: {annotations: {[INTERRUPTION_ANNOTATION]: text}}})

const made = (scene: ControllerScene, kind: 'Migration' | 'Checkpoint') =>
  scene.kube
    .peek(API, kind)
    .filter(({metadata}) => metadata.name.startsWith('interruption-') && !metadata.name.endsWith('-move'))

const forMs = 60_000

test.for(['web', `${'a-pod-with-a-name-of-very-many-letters.'.repeat(5)}web`])(
  'a pod that a policy opts in is moved off a node that is taken away: %s',
  async (pod) => {
    const scene = opted({withOther: true, pod})
    await announce(scene, 'one')
    await scene.play({forMs})
    expect(made(scene, 'Migration').map(({spec, status}) => ({spec, status}))).toMatchObject([
      {
        spec: {podName: pod, storeName: 'default', owner: 'policy/spot'},
        status: {phase: 'Succeeded', targetNodeName: 'b'},
      },
    ])
    expect(scene.pod(pod)?.['spec']).toMatchObject({nodeName: 'b'})
    const names = made(scene, 'Migration').map(({metadata}) => metadata.name.length)
    for (const letters of names) expect(letters).toBeLessThanOrEqual(63)
    // The cloud first gives advice, and then takes the machine: nothing is left there.
    await announce(scene, 'one', 'another')
    await scene.play({forMs})
    expect(made(scene, 'Migration')).toHaveLength(1)
    expect(made(scene, 'Checkpoint')).toEqual([])
    await scene.end()
  },
)

test('where no other node takes it, it is checkpointed, once a notice, and again after another one', async () => {
  const scene = opted({withOther: false})
  await announce(scene, 'one')
  await scene.play({forMs})
  const saved = {podRef: {name: 'web'}, storeName: 'default', podPolicy: 'Resume', owner: 'policy/spot'}
  expect(made(scene, 'Checkpoint').map(({spec}) => spec)).toMatchObject([saved])
  expect(made(scene, 'Checkpoint')[0]?.metadata.labels).toEqual({[POLICY_LABEL]: 'spot'})
  await announce(scene, 'another')
  await scene.play({forMs})
  expect(made(scene, 'Checkpoint')).toHaveLength(2)
  expect(made(scene, 'Migration')).toEqual([])
  await scene.end()
})

test('a pod whose move came to nothing is checkpointed', async () => {
  const scene = opted({withOther: true})
  scene.nodes.unfit.set('b', 'it is full')
  await announce(scene, 'one')
  await scene.play({forMs: 10 * 60_000})
  expect(made(scene, 'Migration').map(({status}) => status)).toMatchObject([{phase: 'RolledBack'}])
  expect(made(scene, 'Checkpoint').map(({spec}) => spec)).toMatchObject([{podPolicy: 'Resume'}])
  await scene.end()
})

test('nothing is made for pods that no policy opts in, nor for what is no notice', async () => {
  const scene = opted({withOther: true})
  scene.nodes.runPod('other', 'a', 'memory', {metadata: {labels: {app: 'other'}}})
  await report(scene, 'not JSON')
  await scene.play({forMs})
  await report(scene, '[{"id":1}]')
  await scene.play({forMs})
  expect(scene.kube.peek(API, 'Migration')).toEqual([])
  await announce(scene, 'one')
  await scene.play({forMs})
  expect(made(scene, 'Migration').map(({spec}) => spec)).toMatchObject([{podName: 'web'}])
  await scene.end()
})
