import {expect, test} from 'vitest'
import {natsAddon} from '../../../../src/platform/addons/nats/addon.ts'
import {expectGolden, factsOf, faultsOf, privilegesOf, renderedBy} from '../../../support/addon-golden.ts'

const objects = renderedBy(natsAddon, {parameters: {replicas: 3}})

test('the objects are as their golden file says', () => {
  expectGolden('nats', objects)
  expect(faultsOf(natsAddon, objects)).toEqual([])
  expect(privilegesOf(objects)).toEqual([])
})

test('one server is no cluster', () => {
  expect(JSON.stringify(objects)).toContain('include ./cluster.conf')
  const one = renderedBy(natsAddon, {parameters: {replicas: 1}})
  expect(JSON.stringify(one)).not.toContain('include ./cluster.conf')
  expect(faultsOf(natsAddon, one)).toEqual([])
})

test('passwords are others each time, and only in a Secret that is created once', () => {
  const text = () => JSON.stringify(natsAddon.createdOnce({}, factsOf()))
  expect(new Set(text().match(/[0-9a-f]{48}/g)).size).toBe(2)
  expect(text()).not.toBe(text())
  expect(JSON.stringify(objects)).not.toMatch(/[0-9a-f]{48}/)
})

test.for([0, 2, 4])('%i servers are refused', (replicas) => {
  expect(natsAddon.schema(factsOf().spec).safeParse({replicas}).success).toBe(false)
})
