import {expect, test} from 'vitest'
import {gateTimeoutMs, metricProblem} from '../../../../src/platform/graph/gates.ts'
import {gateSchema} from '../../../../src/platform/graph/stack-schema.ts'

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

test('a gate lasts as long as its longest part may take', () => {
  expect(gateTimeoutMs(gateSchema.parse({}))).toBe(300_000)
  const http = {url: 'http://a', timeoutSeconds: 900}
  expect(gateTimeoutMs(gateSchema.parse({ready: {timeoutSeconds: 5}, http}))).toBe(900_000)
})
