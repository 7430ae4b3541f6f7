import {setFlagsFromString} from 'node:v8'
import {runInNewContext} from 'node:vm'
import {expect, test} from 'vitest'
import {API_VERSION, POLICY_LABEL} from '../../../../src/api/names.ts'
import {DrivenController} from '../../../support/driven-controller.ts'
import {FakeKube} from '../../../support/fake-kube.ts'
import {fixedClock} from '../../../support/fixed-clock.ts'

const MANY = 200
const HOUR_MS = 3_600_000

/** A controller and 200 policies, each for a pod of its own, that save it every hour and keep two. */
function manyPolicies() {
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
      spec: {
        selector: {matchLabels: labels},
        schedule: '0 * * * *',
        storeName: 'default',
        retention: {keepLast: 2},
      },
    })
  }
  return {clock, kube, controller: new DrivenController({kube, now: clock.now})}
}

/** Heap that is in use after everything that can go has gone. */
function heapBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().heapUsed
}

const cpuMs = (): number => {
  const {user, system} = process.cpuUsage()
  return (user + system) / 1000
}

test('200 policies are all followed, each for its own pod, once', async () => {
  const {clock, kube, controller} = manyPolicies()
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

test('a look at one of 200 policies takes milliseconds, and the eighth hour no more memory than the second', async () => {
  const {clock, kube, controller} = manyPolicies()
  const rounds = 3
  const hour = async (): Promise<void> => {
    clock.advance(HOUR_MS)
    await controller.round()
    for (const checkpoint of kube.peek(API_VERSION, 'Checkpoint'))
      if (checkpoint['status'] === undefined) {
        const completionTime = new Date(clock.now()).toISOString()
        kube.put({...checkpoint, status: {phase: 'Ready', completionTime, storedBytes: 1000}})
      }
    for (let round = 1; round < rounds; round++) await controller.round()
    for (const event of kube.peek('v1', 'Event'))
      kube.drop({apiVersion: 'v1', kind: 'Event', namespace: 'default', name: event.metadata.name})
  }
  for (let index = 0; index < 2; index++) await hour()
  const before = {heap: heapBytes(), cpu: cpuMs()}
  const hours = 6
  for (let index = 0; index < hours; index++) await hour()
  const perLookMs = (cpuMs() - before.cpu) / (hours * rounds * MANY)
  const grownMb = (heapBytes() - before.heap) / 1e6
  expect(kube.peek(API_VERSION, 'Checkpoint')).toHaveLength(2 * MANY)
  process.stdout.write(
    `${MANY} policies: ${perLookMs.toFixed(1)} ms of processor time for a look, ${grownMb.toFixed(1)} MB more heap after ${hours} hours\n`,
  )
  expect(perLookMs).toBeLessThan(20)
  expect(grownMb).toBeLessThan(10)
  await controller.end()
})
