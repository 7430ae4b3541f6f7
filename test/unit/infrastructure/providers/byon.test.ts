import {expect, test} from 'vitest'
import {byonProvider} from '../../../../src/infrastructure/providers/byon.ts'
import {withPort} from '../../../../src/infrastructure/providers/endpoint.ts'
import {contextIn, specOf} from '../../../support/local-cluster.ts'

const context = contextIn('/nowhere', 'demo')
const provider = byonProvider()

test('machines come from the spec, the end-point from the first control plane’s private address', async () => {
  const spec = specOf('demo', {
    provider: {kind: 'byon'},
    controlPlane: {hosts: [{address: '203.0.113.5', privateAddress: '10.0.0.5'}]},
    workers: [{count: 1, hosts: [{address: '203.0.113.6', user: 'debian'}]}],
  })
  const infrastructure = await provider.provision(spec, context)
  expect(infrastructure.endpoint).toEqual({
    internal: '10.0.0.5:6443',
    external: '10.0.0.5:6443',
    certSans: [],
  })
  expect(infrastructure.machines.map(({name, address, ssh}) => [name, address, ssh.user])).toEqual([
    ['cp-1', '203.0.113.5', 'root'],
    ['worker-1', '203.0.113.6', 'debian'],
  ])
  expect(await provider.inspect(spec, context)).toEqual(infrastructure)
})

test('a load balancer named in the spec is the end-point', async () => {
  const spec = specOf('demo', {
    provider: {kind: 'byon'},
    controlPlane: {hosts: [{address: '10.0.0.5'}]},
    api: {endpoint: 'api.example.org'},
  })
  expect((await provider.provision(spec, context)).endpoint.internal).toBe('api.example.org:6443')
})

test('machines that somebody brought are never planned, changed or removed', async () => {
  const spec = specOf('demo', {provider: {kind: 'byon'}, controlPlane: {hosts: [{address: '10.0.0.5'}]}})
  expect(await provider.plan(spec, context)).toEqual([])
  expect(await provider.destroy('demo', context)).toEqual([])
})

test('without a control plane host there is no end-point', async () => {
  await expect(provider.provision(specOf('demo', {provider: {kind: 'byon'}}), context)).rejects.toMatchObject(
    {
      code: 'CONFIG_INVALID',
    },
  )
})

test.each([
  ['api.example.org', 'api.example.org:6443'],
  ['api.example.org:443', 'api.example.org:443'],
  ['10.0.0.1', '10.0.0.1:6443'],
  ['fd00::1', '[fd00::1]:6443'],
  ['[fd00::1]:443', '[fd00::1]:443'],
])('the end-point %s is %s', (endpoint, expected) => {
  expect(withPort(endpoint)).toBe(expected)
})
