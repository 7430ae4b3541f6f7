import {expect, test} from 'vitest'
import {metricsServerAddon} from '../../../../src/platform/addons/metrics-server/addon.ts'
import {expectGolden, factsOf, faultsOf, privilegesOf, renderedBy} from '../../../support/addon-golden.ts'

const objects = renderedBy(metricsServerAddon)

test('the objects are as their golden file says', () => {
  expectGolden('metrics-server', objects)
  expect(faultsOf(metricsServerAddon, objects)).toEqual([])
  expect(privilegesOf(objects)).toEqual([])
})

test('with three workers there are two, one of which may be evicted', () => {
  const spec = 'workers: [{count: 3}]'
  const many = renderedBy(metricsServerAddon, {spec})
  expect(faultsOf(metricsServerAddon, many)).toEqual([])
  expect(many.find(({kind}) => kind === 'Deployment')).toMatchObject({spec: {replicas: 2}})
  expect(many.some(({kind}) => kind === 'PodDisruptionBudget')).toBe(true)
})

test('no kubelet is read without verifying it', () => {
  expect(JSON.stringify(objects)).not.toContain('insecure-tls')
  expect(metricsServerAddon.unavailable?.(factsOf('checkpoint: {enabled: false}').spec)).toContain(
    'spec.checkpoint.enabled is false',
  )
})
