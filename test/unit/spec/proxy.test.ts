import {expect, test} from 'vitest'
import {ConfigError} from '../../../src/base/errors.ts'
import {networkOf, proxiedTargets, proxyAssignments} from '../../../src/spec/proxy.ts'
import {specOf} from '../../support/phase-context.ts'

const TARGETS = ['10.0.0.10', '10.244.0.0/16', 'api.example.org', '.svc', '.cluster.local']

test.each<[string, readonly string[]]>([
  ['', TARGETS],
  ['*', []],
  ['10.0.0.10,10.244.0.0/16,api.example.org,.svc,.cluster.local', []],
  ['10.0.0.0/8, .example.org , svc,*.cluster.local', []],
  ['10.0.0.0/16', ['10.244.0.0/16', 'api.example.org', '.svc', '.cluster.local']],
  // Part of the pod network is not all of it, and a space separates nothing.
  ['10.244.0.0/17 10.0.0.10', TARGETS],
  ['example.org:443,local', ['10.0.0.10', '10.244.0.0/16', '.svc']],
])('NO_PROXY=%s', (noProxy, proxied) => {
  expect(proxiedTargets(noProxy, TARGETS)).toEqual(proxied)
})

test('what a node is given leads to the cluster without the proxy', () => {
  const spec = specOf('proxy: {httpsProxy: "http://proxy.example:3128", noProxy: [registry.example.org]}')
  const assignments = proxyAssignments(spec, '10.0.0.10:6443', ['10.0.0.0/24'])
  expect(assignments).toEqual([
    'HTTPS_PROXY=http://proxy.example:3128',
    'NO_PROXY=localhost,127.0.0.1,10.0.0.10,10.244.0.0/16,10.96.0.0/12,.svc,.cluster.local,10.0.0.0/24,registry.example.org',
  ])
  const noProxy = assignments[1]?.slice('NO_PROXY='.length) ?? ''
  expect(proxiedTargets(noProxy, ['10.0.0.77', '10.244.3.1', '.cluster.local', '10.0.1.1'])).toEqual([
    '10.0.1.1',
  ])
})

test('without a proxy there are no variables', () => {
  expect(proxyAssignments(specOf(), '10.0.0.10:6443', ['10.0.0.0/24'])).toEqual([])
})

test('the network of an address is that of the interface which has it', () => {
  expect(networkOf('10.0.0.10', ['192.0.2.1/24', '10.0.0.10/22'])).toBe('10.0.0.0/22')
  expect(networkOf('10.0.0.10', ['10.0.0.10/32'])).toBe('10.0.0.10')
  expect(networkOf('203.0.113.5', ['10.0.0.10/24'])).toBe('203.0.113.5')
})

test.each([
  ['httpProxy: "http://me:secret@proxy:3128"', 'contains credentials'],
  ['httpsProxy: "proxy:3128"', 'is not an http or https URL'],
  ['httpsProxy: "http://proxy:3128/path"', 'is not http://host:port'],
  ['httpsProxy: "http://proxy:3128", noProxy: ["a,b"]', 'is not one host'],
  ['noProxy: [".example.org"]', 'does nothing without'],
])('proxy: {%s} is refused', (body, problem) => {
  expect(() => specOf(`proxy: {${body}}`)).toThrow(ConfigError)
  expect(() => specOf(`proxy: {${body}}`)).toThrow(problem)
})
