import {expect, test} from 'vitest'
import type {KubeObject} from '../../../../src/kubernetes/types.ts'
import {isAppliedAlready} from '../../../../src/platform/release/owned-fields.ts'

const MANAGER = 'clouder-addon-web'
const wanted: KubeObject = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: {name: 'web', namespace: 'web', labels: {app: 'web'}},
  spec: {selector: {app: 'web'}, ports: [{port: 80, name: 'http'}]},
}
const fields = {
  'f:metadata': {'f:labels': {'f:app': {}}},
  'f:spec': {
    'f:selector': {},
    'f:ports': {'k:{"port":80,"protocol":"TCP"}': {'.': {}, 'f:port': {}, 'f:name': {}}},
  },
}
const live = (spec: object = {}, fieldsV1: object = fields): KubeObject => ({
  ...wanted,
  metadata: {
    ...wanted.metadata,
    labels: {app: 'web', other: 'x'},
    managedFields: [
      {manager: MANAGER, operation: 'Apply', apiVersion: 'v1', fieldsType: 'FieldsV1', fieldsV1},
    ],
  },
  spec: {
    selector: {app: 'web'},
    ports: [{port: 80, protocol: 'TCP', name: 'http', targetPort: 80}],
    clusterIP: '10.96.0.9',
    ...spec,
  },
})
const port = (more: object): object => ({ports: [{port: 80, protocol: 'TCP', name: 'http', ...more}]})

test('defaults and fields of others do not matter', () => {
  expect(isAppliedAlready(live(), wanted, MANAGER)).toBe(true)
})

test.for<[string, KubeObject, KubeObject]>([
  ['a value that was edited', live({selector: {app: 'other'}}), wanted],
  ['an item that was edited', live(port({name: 'other'})), wanted],
  [
    'a field of an item that is new',
    live(),
    {...wanted, spec: {selector: {app: 'web'}, ports: [{port: 80, name: 'http', targetPort: 8080}]}},
  ],
  ['a field that left the release', live(), {...wanted, spec: {selector: {app: 'web'}}}],
  ['a label that left the release', live(), {...wanted, metadata: {name: 'web', namespace: 'web'}}],
  ['an item that is gone', live({ports: []}), wanted],
  [
    'a field that somebody took over',
    live({}, {...fields, 'f:spec': {'f:ports': fields['f:spec']['f:ports']}}),
    wanted,
  ],
  ['another version of the kind', live(), {...wanted, apiVersion: 'v2'}],
  ['an object that others made', {...live(), metadata: wanted.metadata}, wanted],
])('%s is not taken for applied', ([, there, given]) => {
  expect(isAppliedAlready(there, given, MANAGER)).toBe(false)
})
