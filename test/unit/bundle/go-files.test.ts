import {expect, test} from 'vitest'
import {parseObjects} from '../../../src/bundle/go-files.ts'

test('each document of a file is an object, and a document of comments alone is none', () => {
  const text = [
    '# of a generator',
    '---',
    'apiVersion: v1',
    'kind: Namespace',
    'metadata: {name: shop, creationTimestamp: null}',
    '---',
    '# nothing',
    '---',
    'apiVersion: v1',
    'kind: Service',
    'metadata: {name: front}',
    'spec: {ports: [{port: 80}]}',
  ]
  expect(parseObjects(text.join('\n'), 'shop.yaml')).toEqual([
    {apiVersion: 'v1', kind: 'Namespace', metadata: {name: 'shop', creationTimestamp: null}},
    {apiVersion: 'v1', kind: 'Service', metadata: {name: 'front'}, spec: {ports: [{port: 80}]}},
  ])
  expect(parseObjects('', 'empty.yaml')).toEqual([])
})

test.each([
  ['no YAML', 'a: [', /shop\.yaml is not YAML/],
  ['no object', 'resources: [a.yaml]', /shop\.yaml has a document that is no Kubernetes object/],
])('a file with %s is refused', (_what, text, message) => {
  expect(() => parseObjects(text, 'shop.yaml')).toThrow(message)
})
