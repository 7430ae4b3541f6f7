import {expect, test} from 'vitest'
import {API_VERSION, POLICY_LABEL} from '../../../src/checkpoint/names.ts'
import {DrivenController} from '../../support/driven-controller.ts'
import {FakeKube} from '../../support/fake-kube.ts'
import {fixedClock} from '../../support/fixed-clock.ts'

const MANY = 200

test('200 policies are all followed, each for its own pod, once', async () => {
  const clock = fixedClock('2026-11-21T09:59:30.000Z')
  const kube = new FakeKube({now: clock.now})
  for (let index = 0; index < MANY; index++) {
    const labels = {of: `p${index}`}
    kube.put({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {name: `pod-${index}`, namespace: 'default', labels},
      spec: {nodeName: 'a', containers: [{name: 'main', image: 'app:1'}]},
      status: {phase: 'Running'},
    })
    kube.put({
      apiVersion: API_VERSION,
      kind: 'CheckpointPolicy',
      metadata: {name: `p${index}`, namespace: 'default'},
      spec: {selector: {matchLabels: labels}, schedule: '0 * * * *', store: 'default'},
    })
  }
  const controller = new DrivenController({kube, now: clock.now})
  await controller.round()
  expect(kube.peek(API_VERSION, 'Checkpoint')).toEqual([])
  clock.advance(60_000)
  for (let round = 0; round < 3; round++) await controller.round()
  const made = kube.peek(API_VERSION, 'Checkpoint')
  expect(made).toHaveLength(MANY)
  expect(new Set(made.map(({metadata}) => metadata.labels?.[POLICY_LABEL])).size).toBe(MANY)
  expect(new Set(made.map(({spec}) => JSON.stringify(spec))).size).toBe(MANY)
  await controller.end()
})
