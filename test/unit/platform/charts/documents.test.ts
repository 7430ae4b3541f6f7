import {expect, test} from 'vitest'
import {parseObjects} from '../../../../src/platform/charts/documents.ts'

test('documents, Lists and empty documents', () => {
  const {objects, problems} = parseObjects(`# a comment
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
---
---
apiVersion: v1
kind: List
items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}]
`)
  expect(problems).toEqual([])
  expect(objects.map(({metadata}) => metadata.name)).toEqual(['a', 'b'])
})

test('what is no object is told with its place', () => {
  const text = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n---\na: [\n---\njust text\n'
  expect(parseObjects(text).problems.map(({place, problem}) => `${place}: ${problem}`)).toEqual([
    'document 1: metadata.name is missing or not valid',
    expect.stringMatching(/^line \d+, column \d+: /),
    'document 3: is not an object of Kubernetes',
  ])
})
