import {expect, test} from 'vitest'
import {gateOf, metricProblem} from '../../../../src/platform/graph/gates.ts'
import {serviceSchema} from '../../../../src/platform/graph/stack-schema.ts'
import {FakeKube} from '../../../support/fake-kube.ts'

const answer = (resultType: string, result: unknown) => ({
  status: 200,
  body: JSON.stringify({status: 'success', data: {resultType, result}}),
})

test('a query passes when it returns a sample, and a scalar when it is not 0', () => {
  expect(metricProblem(answer('vector', [{metric: {}, value: [1, '1']}]))).toBeUndefined()
  expect(metricProblem(answer('vector', []))).toBe('it returns no samples')
  expect(metricProblem(answer('scalar', [1, '2']))).toBeUndefined()
  expect(metricProblem(answer('scalar', [1, '0']))).toBe('it is 0')
  expect(metricProblem({status: 400, body: '{"status":"error","error":"parse error"}'})).toBe('parse error')
  expect(metricProblem({status: 503, body: 'no endpoints'})).toBe('status 503, and no answer of Prometheus')
  expect(metricProblem({body: 'connect ECONNREFUSED'})).toBe('connect ECONNREFUSED')
})

test('each part of a gate has a time of its own, and a Job comes last', () => {
  const partsOf = (gate: object): readonly number[] => {
    const {namespace: _, ...parsed} = serviceSchema.parse({source: {manifests: 'a'}, gate})
    const service = {...parsed, name: 'a', namespace: 'shop'}
    const tools = {kube: new FakeKube(), signal: new AbortController().signal}
    return gateOf(service, {stack: 'shop', occasion: '1'}, tools).map(({timeoutMs}) => timeoutMs)
  }
  expect(partsOf({})).toEqual([])
  const http = {url: 'http://a', timeoutSeconds: 20}
  const job = {image: 'a', timeoutSeconds: 900}
  expect(partsOf({job, http, ready: {timeoutSeconds: 300}})).toEqual([20_000, 900_000])
})
