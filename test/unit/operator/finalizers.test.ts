import {expect, test} from 'vitest'
import {refOf} from '../../../src/kubernetes/refs.ts'
import type {KubeObject} from '../../../src/kubernetes/types.ts'
import {addFinalizer, removeFinalizer} from '../../../src/operator/finalizers.ts'
import {ConflictError} from '../../../src/kubernetes/conflict.ts'
import {FakeKube} from '../../support/fake-kube.ts'

const OURS = 'clouder.dev/test'
const signal = new AbortController().signal
const SETTINGS: KubeObject = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: {name: 'settings', namespace: 'default', finalizers: ['example.com/other']},
  data: {a: '1'},
}

async function scene() {
  const kube = new FakeKube()
  kube.put({apiVersion: 'v1', kind: 'Namespace', metadata: {name: 'default'}})
  kube.put(SETTINGS)
  const read = async (): Promise<KubeObject> => {
    const object = await kube.get(refOf(SETTINGS))
    if (object === undefined) throw new Error('it is gone')
    return object
  }
  return {kube, read, object: await read(), at: {kube, signal}}
}

test('ours is added once and taken away again, and that of another one stays', async () => {
  const {read, object, at} = await scene()
  const held = await addFinalizer(object, OURS, at)
  expect(held.metadata.finalizers).toEqual(['example.com/other', OURS])
  expect(await addFinalizer(held, OURS, at)).toBe(held)
  await removeFinalizer(held, OURS, at)
  expect((await read()).metadata.finalizers).toEqual(['example.com/other'])
})

test('nothing that somebody wrote in between is undone', async () => {
  const {kube, read, object, at} = await scene()
  const held = await addFinalizer(object, OURS, at)
  const {metadata} = await read()
  kube.put({...SETTINGS, metadata: {...metadata, finalizers: [OURS, 'example.com/third']}})
  await expect(addFinalizer(object, OURS, at)).rejects.toThrow(ConflictError)
  await expect(removeFinalizer(held, OURS, at)).rejects.toThrow(ConflictError)
  expect((await read()).metadata.finalizers).toEqual([OURS, 'example.com/third'])
})

test('of what is gone, or has none of ours, nothing is left to take away', async () => {
  const {kube, object, at} = await scene()
  const held = await addFinalizer(object, OURS, at)
  kube.drop(refOf(SETTINGS))
  await removeFinalizer(held, OURS, at)
  await removeFinalizer(object, OURS, at)
})

test('one that must not act any more writes nothing', async () => {
  const {kube, object} = await scene()
  const over = {kube, signal: AbortSignal.abort(new Error('over'))}
  await expect(addFinalizer(object, OURS, over)).rejects.toThrow('over')
})
