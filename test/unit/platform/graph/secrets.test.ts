import {expect, test} from 'vitest'
import type {KubeObject} from '../../../../src/kubernetes/types.ts'
import {withoutSecretValues} from '../../../../src/platform/graph/content.ts'
import {exposedReferences, SecretValues, withData} from '../../../../src/platform/graph/secrets.ts'

const secretRef = {$secret: {name: 'db', key: 'p'}}
const secret = (fields: object): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: {name: 's'},
  ...fields,
})
const problems = (object: KubeObject) =>
  exposedReferences(object, ['o'], () => true).map(({path}) => path.join('.'))

test('secret values may be put into stringData, and into data as base64, of a Secret', () => {
  expect(problems(secret({stringData: {a: secretRef}}))).toEqual([])
  expect(problems(secret({data: {a: {$secret: {name: 'db', key: 'p', encoding: 'base64'}}}}))).toEqual([])
  expect(problems(secret({data: {a: secretRef}}))).toEqual(['o.data.a'])
  expect(problems(secret({metadata: {name: 's', annotations: {a: secretRef}}}))).toEqual([
    'o.metadata.annotations.a',
  ])
  const map = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {name: 'c'},
    data: {a: secretRef, b: {$output: {service: 'x', name: 'y'}}},
  }
  expect(problems(map)).toEqual(['o.data.a', 'o.data.b'])
})

test('a value is found wherever an object holds it, also in base64, and hidden from the log', () => {
  const hidden: string[] = []
  const values = new SecretValues((value) => hidden.push(value))
  values.add('hunter2-long')
  values.add('hunter2-long')
  values.add('short')
  expect(hidden).toEqual(['hunter2-long'])
  const holding = (text: string): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name: 'p'},
    spec: {env: [{value: text}]},
  })
  expect(values.exposedBy(holding('a=hunter2-long;'))).toBe('Pod p at spec.env[0].value')
  expect(values.exposedBy(holding(Buffer.from('hunter2-long').toString('base64')))).toBe(
    'Pod p at spec.env[0].value',
  )
  expect(values.exposedBy(holding('short'))).toBeUndefined()
  expect(values.exposedBy(secret({stringData: {a: 'hunter2-long'}}))).toBeUndefined()
})

test('what is kept of a Secret has references and names of keys, and no values', () => {
  const kept = withoutSecretValues(secret({data: {a: 'eA=='}, stringData: {b: 'plain', c: secretRef}}))
  expect(kept).toEqual(secret({data: {a: null}, stringData: {b: null, c: secretRef}}))
  expect(withData(secret({data: {a: 'eA=='}, stringData: {b: 'y'}}))).toEqual(
    secret({data: {a: 'eA==', b: 'eQ=='}}),
  )
})
