import {expect, test} from 'vitest'
import {API_VERSION} from '../../../../src/api/names.ts'
import {setRuntimeState} from '../../../../src/workflows/runtime/runtime.ts'
import {FakeKube} from '../../../support/fake-kube.ts'
import {recordingReport} from '../../../support/recording-report.ts'

const place = {namespace: 'team', name: 'anna'}
const tools = {
  report: recordingReport().report,
  signal: new AbortController().signal,
  now: () => Date.now(),
}

function clusterWith(status: object): FakeKube {
  const kube = new FakeKube()
  kube.put({apiVersion: 'v1', kind: 'Namespace', metadata: {name: 'team'}})
  kube.put({
    apiVersion: API_VERSION,
    kind: 'Runtime',
    metadata: place,
    spec: {image: 'i', storeName: 'default', state: 'Running'},
    status,
  })
  return kube
}

test.for([
  ['what could not be resumed', {phase: 'Failed', reason: 'KEY_WRONG'}, true],
  ['what runs', {phase: 'Running'}, false],
  ['what has lost its memory', {phase: 'Failed', reason: 'CHECKPOINT_UNKNOWN'}, false],
] as const)('asked to resume once more, %s', async ([, status, isNew]) => {
  const kube = clusterWith(status)
  const generation = () => kube.peek(API_VERSION, 'Runtime')[0]?.metadata['generation']
  const before = generation()
  const {spec} = await setRuntimeState(kube, place, 'Running', {wait: false}, tools)
  expect(spec.state).toBe('Running')
  expect(generation() !== before).toBe(isNew)
})
