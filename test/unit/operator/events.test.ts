import {expect, test} from 'vitest'
import type {KubeObject} from '../../../src/kubernetes/types.ts'
import {recordEvent} from '../../../src/operator/events.ts'
import {FakeKube} from '../../support/fake-kube.ts'

const POD: KubeObject = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {name: 'web', namespace: 'default', uid: 'u-1'},
}

test('an event names the program that reports it, and is there once', async () => {
  const kube = new FakeKube()
  kube.put({apiVersion: 'v1', kind: 'Namespace', metadata: {name: 'default'}})
  const source = {kube, component: 'tiny', log: () => undefined, now: () => 0}
  await recordEvent(POD, 'Normal', 'Done', 'it is done', source)
  await recordEvent(POD, 'Normal', 'Done', 'it is done', source)
  expect(kube.peek('v1', 'Event')).toMatchObject([
    {reason: 'Done', source: {component: 'tiny'}, involvedObject: {kind: 'Pod', name: 'web', uid: 'u-1'}},
  ])
})

test('one that cannot be written is logged, and no reason to stop', async () => {
  const lines: string[] = []
  const kube = {create: () => Promise.reject(new Error('forbidden'))}
  const log = (level: string, message: string): void => void lines.push(`${level} ${message}`)
  await recordEvent(POD, 'Normal', 'Done', 'it is done', {kube, component: 'tiny', log, now: () => 0})
  expect(lines).toEqual(['warn event not recorded'])
})
