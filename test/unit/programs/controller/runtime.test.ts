import {expect, test} from 'vitest'
import {controllerScene, type ControllerScene, type SceneOptions} from '../../../support/controller-scene.ts'

function sceneWithRuntime(options: SceneOptions = {}, spec: object = {}) {
  const scene = controllerScene(options)
  scene.nodes.addNode('a')
  scene.nodes.addNode('b')
  scene.put('Runtime', 'work', {image: 'repl:1', storeName: 'default', state: 'Running', ...spec})
  return scene
}
const phaseOf = (scene: ControllerScene) =>
  (scene.status('Runtime', 'work') as {phase?: string} | undefined)?.phase
const reaches = (scene: ControllerScene, phase: string) => () => phaseOf(scene) === phase
function turn(scene: ControllerScene, state: 'Running' | 'Paused'): void {
  const object = scene.object('Runtime', 'work')
  if (object === undefined) throw new Error('no runtime')
  scene.kube.put({...object, spec: {...Object(object['spec']), state}})
}

test('a runtime gets its pod, its home and its service; secrets are files in memory', async () => {
  const scene = sceneWithRuntime(
    {},
    {
      home: {size: '5Gi'},
      ports: [8080],
      secretNames: ['keys'],
      env: {MODE: 'x'},
      resources: {cpu: '1', memory: '1Gi'},
      volumes: [{claimName: 'shared', mountPath: '/data'}],
    },
  )
  await scene.play({until: reaches(scene, 'Running')})
  expect(scene.pod('work')).toMatchObject({
    metadata: {ownerReferences: [{kind: 'Runtime', name: 'work', controller: true}]},
    spec: {
      runtimeClassName: 'clouder-restore',
      automountServiceAccountToken: false,
      containers: [
        {
          name: 'main',
          image: 'repl:1',
          env: [{name: 'MODE', value: 'x'}],
          resources: {requests: {cpu: '1', memory: '1Gi'}, limits: {cpu: '1', memory: '1Gi'}},
          volumeMounts: [
            {mountPath: '/home'},
            {mountPath: '/data'},
            {mountPath: '/run/secrets/keys', readOnly: true},
          ],
        },
      ],
      volumes: [
        {persistentVolumeClaim: {claimName: 'work-home'}},
        {persistentVolumeClaim: {claimName: 'shared'}},
        {secret: {secretName: 'keys'}},
      ],
    },
  })
  expect(scene.kube.peek('v1', 'PersistentVolumeClaim')).toMatchObject([{metadata: {name: 'work-home'}}])
  expect(scene.kube.peek('v1', 'Service')).toMatchObject([{spec: {ports: [{port: 8080}]}}])
  await scene.end()
})

test('paused and resumed, again and again, it goes on with the same memory and keeps one checkpoint', async () => {
  const scene = sceneWithRuntime()
  await scene.play({until: reaches(scene, 'Running')})
  const memory = scene.nodes.memoryOf('work') ?? ''
  for (let round = 0; round < 3; round++) {
    turn(scene, 'Paused')
    await scene.play({until: reaches(scene, 'Paused')})
    await scene.play({forMs: 60_000})
    expect(scene.pods()).toEqual([])
    expect(scene.nodes.isHeld(memory)).toBe(true)
    expect(scene.kube.peek('clouder.dev/v1alpha1', 'Checkpoint')).toHaveLength(1)
    turn(scene, 'Running')
    await scene.play({until: reaches(scene, 'Running')})
    expect(scene.nodes.runningWith(memory)).toEqual(['work'])
  }
  expect(scene.status('Runtime', 'work')).toMatchObject({phase: 'Running'})
  await scene.end()
})

test('what cannot be paused runs on, and is tried again when somebody asks again', async () => {
  const scene = sceneWithRuntime()
  await scene.play({until: reaches(scene, 'Running')})
  const memory = scene.nodes.memoryOf('work') ?? ''
  scene.nodes.undumpable.add('work')
  turn(scene, 'Paused')
  await scene.play({until: reaches(scene, 'Failed')})
  expect(scene.nodes.runningWith(memory)).toEqual(['work'])
  scene.nodes.undumpable.clear()
  turn(scene, 'Running')
  await scene.play({until: reaches(scene, 'Running')})
  turn(scene, 'Paused')
  await scene.play({until: reaches(scene, 'Paused')})
  await scene.end()
})

test('what cannot be resumed stays in its checkpoint, and is resumed when somebody asks again', async () => {
  const scene = sceneWithRuntime()
  await scene.play({until: reaches(scene, 'Running')})
  const memory = scene.nodes.memoryOf('work') ?? ''
  turn(scene, 'Paused')
  await scene.play({until: reaches(scene, 'Paused')})
  for (const node of ['a', 'b']) scene.nodes.refusals.set(node, 'KEY_WRONG: no')
  turn(scene, 'Running')
  await scene.play({until: reaches(scene, 'Failed')})
  expect(scene.nodes.isHeld(memory)).toBe(true)
  scene.nodes.refusals.clear()
  turn(scene, 'Paused')
  await scene.play({until: reaches(scene, 'Paused')})
  turn(scene, 'Running')
  await scene.play({until: reaches(scene, 'Running')})
  expect(scene.nodes.runningWith(memory)).toEqual(['work'])
  await scene.end()
})

test('a controller that dies after any change of a pause and a resume loses nothing', async () => {
  for (let killAfter = 1; killAfter <= 14; killAfter++) {
    const scene = sceneWithRuntime({killAfter})
    await scene.play({until: reaches(scene, 'Running')})
    const memory = scene.nodes.memoryOf('work') ?? ''
    const each = (): void => expect(scene.nodes.isHeld(memory)).toBe(true)
    turn(scene, 'Paused')
    await scene.play({until: reaches(scene, 'Paused'), each})
    turn(scene, 'Running')
    await scene.play({until: reaches(scene, 'Running'), each})
    expect(scene.nodes.runningWith(memory)).toEqual(['work'])
    await scene.end()
  }
})

test('a runtime that is moved is not begun anew in between', async () => {
  const scene = sceneWithRuntime()
  await scene.play({until: reaches(scene, 'Running')})
  const memory = scene.nodes.memoryOf('work') ?? ''
  scene.put('Migration', 'move', {podName: 'work', storeName: 'default'})
  const done = (): boolean =>
    (scene.status('Migration', 'move') as {phase?: string} | undefined)?.phase === 'Succeeded'
  await scene.play({until: done, each: () => expect(scene.nodes.isHeld(memory)).toBe(true)})
  await scene.play({forMs: 60_000})
  expect(scene.nodes.runningWith(memory)).toEqual(['work'])
  await scene.end()
})

test('a runtime whose pod would not be taken again is not paused, and runs on with the reason', async () => {
  let closed = false
  const scene = sceneWithRuntime({
    refuse: ({kind}) => (closed && kind === 'Pod' ? 'no RuntimeClass' : undefined),
  })
  await scene.play({until: reaches(scene, 'Running')})
  const uid = scene.pod('work')?.metadata.uid
  closed = true
  turn(scene, 'Paused')
  await scene.play({until: reaches(scene, 'Failed')})
  expect(scene.status('Runtime', 'work')).toMatchObject({
    reason: 'API_REJECTED',
    message: expect.stringMatching(/pausing failed, the runtime keeps running: .*no RuntimeClass/) as string,
  })
  expect(scene.pod('work')?.metadata.uid).toBe(uid)
  await scene.end()
})
