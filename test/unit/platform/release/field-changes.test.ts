import {expect, test} from 'vitest'
import type {KubeObject} from '../../../../src/kubernetes/types.ts'
import {changesBetween} from '../../../../src/platform/release/field-changes.ts'

const object = (kind: string, more: object): KubeObject => ({
  apiVersion: 'v1',
  kind,
  metadata: {name: 'a', namespace: 'b', resourceVersion: '1'},
  ...more,
})
const texts = (before: KubeObject, after: KubeObject): readonly unknown[] =>
  changesBetween(before, after).map((change) => [change.path, change.before, change.after])

test('items of lists are named by their key, whatever their place', () => {
  const spec = (...containers: object[]): object => ({spec: {containers}})
  const before = object('Pod', spec({name: 'a', image: '1'}, {name: 'b', image: '1'}))
  const after = object('Pod', spec({name: 'b', image: '2'}, {name: 'c', image: '1'}))
  expect(texts(before, after)).toEqual([
    ['spec.containers[name=a]', {name: 'a', image: '1'}, undefined],
    ['spec.containers[name=b].image', '1', '2'],
    ['spec.containers[name=c]', undefined, {name: 'c', image: '1'}],
  ])
})

test('a list whose order alone differs is a change of the list', () => {
  const spec = (...names: string[]): object => ({spec: {env: names.map((name) => ({name}))}})
  expect(texts(object('Pod', spec('a', 'b')), object('Pod', spec('b', 'a')))).toEqual([
    ['spec.env', [{name: 'a'}, {name: 'b'}], [{name: 'b'}, {name: 'a'}]],
  ])
})

test('ports are told apart by number and protocol', () => {
  const port = (protocol: string, name: string): object => ({port: 53, protocol, targetPort: name})
  const before = object('Service', {spec: {ports: [port('UDP', 'a'), port('TCP', 'a')]}})
  const after = object('Service', {spec: {ports: [port('UDP', 'a'), port('TCP', 'b')]}})
  expect(texts(before, after)).toEqual([['spec.ports[port=53,protocol=TCP].targetPort', 'a', 'b']])
})

test('what only the server writes is no change', () => {
  const before = object('ConfigMap', {status: {a: 1}})
  const after = {
    ...before,
    metadata: {...before.metadata, resourceVersion: '2', generation: 3},
    status: {a: 2},
  }
  expect(texts(before, after)).toEqual([])
})

test('the value of a Secret is in no change, nor what kubectl keeps of it', () => {
  const annotations = (text: string): object => ({'kubectl.kubernetes.io/last-applied-configuration': text})
  const before = object('Secret', {data: {a: 'canary-1', gone: 'canary-2'}})
  const after = {
    ...before,
    metadata: {...before.metadata, annotations: annotations('canary-3')},
    data: {a: 'canary-4', made: 'canary-5'},
  } as KubeObject
  const found = texts(before, after)
  expect(JSON.stringify(found)).not.toContain('canary')
  expect(found).toContainEqual(['data.a', '(hidden)', '(hidden)'])
  expect(found).toContainEqual(['data.gone', '(hidden)', undefined])
  expect(texts(object('Secret', {}), before)).toEqual([['data', undefined, ['a', 'gone']]])
})
