import {expect, test} from 'vitest'
import {API_VERSION, RESTORE_ANNOTATION} from '../../../../src/api/names.ts'
import type {KubeObject} from '../../../../src/kubernetes/types.ts'
import {followedKinds, type AgentKind} from '../../../../src/programs/node-agent/followed-kinds.ts'

const KINDS = followedKinds('worker-1')
const managedFields = [{manager: 'kubectl', fieldsV1: {}}]
const metadata = {name: 'web', namespace: 'team', uid: 'uid-1', resourceVersion: '7', managedFields}

/** What is kept of an object, if its schema takes that. */
function kept(kind: AgentKind, object: KubeObject): KubeObject {
  const {schema, project} = KINDS[kind]
  const small = project?.(object) ?? object
  schema.parse(small)
  return small
}

const checkpoint = (status: object): KubeObject => ({
  apiVersion: API_VERSION,
  kind: 'Checkpoint',
  metadata: {...metadata, annotations: {'clouder.dev/thaw': 'true'}},
  spec: {podRef: {name: 'web'}, storeName: 'default', podPolicy: 'Freeze', containers: ['main']},
  status,
})

test('of a Checkpoint its spec is kept, and of its status what says whose it is and how far it is', () => {
  const small = {
    phase: 'Ready',
    nodeName: 'worker-1',
    podUID: 'uid-2',
    frozen: true,
    startTime: '2026-01-01T00:00:00Z',
  }
  const podTemplate = {
    metadata: {},
    spec: {containers: [{name: 'main', image: 'x', env: ['…'.repeat(1000)]}]},
  }
  const summary = {containers: [{name: 'main', processes: []}]}
  const {managedFields: _, ...own} = checkpoint({}).metadata
  expect(kept('Checkpoint', checkpoint({...small, podTemplate, summary, obstacles: []}))).toEqual({
    ...checkpoint(small),
    metadata: own,
  })
})

test('a Checkpoint whose status cannot be read does not become one that can be', () => {
  expect(() => kept('Checkpoint', checkpoint({phase: 'Ready', podTemplate: 7}))).toThrow()
  expect(() =>
    kept('Checkpoint', {...checkpoint({}), spec: {podRef: {name: 'web'}, containers: []}}),
  ).toThrow()
})

const pod = (annotations: Record<string, string>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {...metadata, annotations},
  spec: {
    nodeName: 'worker-1',
    containers: [{name: 'main', image: 'x', env: [{name: 'A', value: 'b'}]}],
    volumes: [],
  },
  status: {phase: 'Running', containerStatuses: [{name: 'main'}]},
})

test('of a pod its images are kept, and of one that is restored all that decides about that', () => {
  expect(kept('Pod', pod({note: 'long'}))).toEqual({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name: 'web', namespace: 'team', uid: 'uid-1', resourceVersion: '7'},
    spec: {nodeName: 'worker-1', containers: [{name: 'main', image: 'x'}]},
  })
  const restored = pod({[RESTORE_ANNOTATION]: 'one'})
  const {managedFields: _, ...own} = restored.metadata
  expect(kept('Pod', restored)).toEqual({...restored, metadata: own})
  expect(() => kept('Pod', {...pod({}), spec: {containers: 'none'}})).toThrow()
  expect(KINDS.Pod.fieldSelector).toBe('spec.nodeName=worker-1')
})
