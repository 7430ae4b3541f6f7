import {expect, test} from 'vitest'
import {KubernetesError} from '../../../../src/kubernetes/errors.ts'
import type {KubeObject} from '../../../../src/kubernetes/types.ts'
import type {SceneOptions} from '../../../support/controller-scene.ts'
import {MEMORY, sceneWithPod} from '../../../support/migration-scene.ts'

type Scene = ReturnType<typeof sceneWithPod>
const isRestored = ({kind, spec}: KubeObject): boolean =>
  kind === 'Pod' && (spec as {runtimeClassName?: string}).runtimeClassName === 'clouder-restore'
const denies =
  (why: string): NonNullable<SceneOptions['refuse']> =>
  (object) =>
    isRestored(object) ? why : undefined
const stop = (scene: Scene): void =>
  scene.put('Checkpoint', 'saved', {podRef: {name: 'web'}, storeName: 'default', podPolicy: 'Delete'})
const statusOf = (scene: Scene) =>
  scene.status('Checkpoint', 'saved') as {phase?: string; reason?: string} | undefined
const isOver = (scene: Scene) => () => ['Ready', 'Failed'].includes(statusOf(scene)?.phase ?? '')

async function expectRefusal(scene: Scene, why: RegExp): Promise<void> {
  const uid = scene.pod('web')?.metadata.uid
  stop(scene)
  const phases = new Set<string | undefined>()
  await scene.play({until: isOver(scene), forMs: 5 * 60_000, each: () => phases.add(statusOf(scene)?.phase)})
  expect(statusOf(scene)).toMatchObject({
    phase: 'Failed',
    reason: 'API_REJECTED',
    message: expect.stringMatching(why) as string,
  })
  expect(phases).not.toContain('Dumping')
  await scene.play({forMs: 60_000})
  expect(scene.pod('web')?.metadata.uid).toBe(uid)
  expect(scene.nodes.runningWith(MEMORY)).toHaveLength(1)
  await scene.end()
}

test('a pod that admission would not let be made again is not stopped, nor frozen', () =>
  expectRefusal(
    sceneWithPod({refuse: denies('violates PodSecurity')}),
    /web keeps running.*violates PodSecurity/,
  ))

test('a quota that was lowered below what is used would not let it be made again', async () => {
  const scene = sceneWithPod({refuse: denies('exceeded quota: small')})
  scene.kube.put({
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: {name: 'small', namespace: 'default'},
    status: {hard: {pods: '1'}, used: {pods: '2'}},
  })
  await expectRefusal(scene, /exceeded quota/)
})

test('a claim that was deleted goes with the pod, which is not stopped', async () => {
  const volumes = [{name: 'data', persistentVolumeClaim: {claimName: 'data'}}]
  const scene = sceneWithPod({}, {spec: {volumes}})
  scene.kube.put({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: 'data',
      namespace: 'default',
      deletionTimestamp: '2026-11-01T00:00:00Z',
      finalizers: ['kubernetes.io/pvc-protection'],
    },
    spec: {accessModes: ['ReadWriteOnce']},
  })
  await expectRefusal(scene, /its claim data was deleted/)
})

test('a webhook that does not answer leaves it running, and says so after a while', () =>
  expectRefusal(
    sceneWithPod({
      refuse: (object) => {
        if (isRestored(object)) throw new KubernetesError('API_UNAVAILABLE', 'failed calling webhook')
        return undefined
      },
    }),
    /failed calling webhook/,
  ))

test('a quota that is full with the pod itself does not keep it from being stopped', async () => {
  const scene = sceneWithPod({refuse: denies('exceeded quota: full')})
  scene.kube.put({
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: {name: 'full', namespace: 'default'},
    status: {hard: {pods: '1', services: '1'}, used: {pods: '1', services: '2'}},
  })
  stop(scene)
  await scene.play({until: isOver(scene)})
  expect(statusOf(scene)).toMatchObject({phase: 'Ready', admitted: true})
  await scene.play({forMs: 60_000})
  expect(scene.pod('web')).toBeUndefined()
  await scene.end()
})
