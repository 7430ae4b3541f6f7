import {expect, test} from 'vitest'
import {parseProxy, proxyOfEnvironment} from '../../../src/kubernetes/proxy-environment.ts'

const HTTPS_PROXY = 'http://proxy:3128'
const found = (noProxy: string, host = 'api.example.com', port = 6443) =>
  proxyOfEnvironment(host, port, {HTTPS_PROXY, NO_PROXY: noProxy}) !== undefined

test('the proxy is that of HTTPS_PROXY, in capitals or not, with a scheme or without', () => {
  const wanted = {protocol: 'http:', host: 'proxy', port: 3128}
  expect(proxyOfEnvironment('a', 443, {HTTPS_PROXY})).toEqual(wanted)
  expect(proxyOfEnvironment('a', 443, {HTTPS_PROXY: '', https_proxy: 'proxy:3128'})).toEqual(wanted)
  expect(proxyOfEnvironment('a', 443, {HTTP_PROXY: HTTPS_PROXY, ALL_PROXY: HTTPS_PROXY})).toBeUndefined()
})

test('the loopback has none', () => {
  for (const host of ['localhost', '127.0.0.1', '127.8.0.1', '::1']) expect(found('', host)).toBe(false)
})

const EXCLUDED: readonly (readonly [string, string])[] = [
  ['*', 'a'],
  ['example.com', 'example.com'],
  ['example.com', 'api.example.com'],
  ['.example.com', 'API.Example.com'],
  ['*.example.com', 'api.example.com'],
  ['a.test, example.com:6443 ', 'api.example.com'],
  ['10.0.0.0/8', '10.1.2.3'],
  ['10.1.2.3', '10.1.2.3'],
  ['10.1.2.3:6443', '10.1.2.3'],
  ['fd00::/8', 'fd00::1'],
  ['fd00::1', 'fd00::1'],
  ['[fd00::1]:6443', 'fd00::1'],
]
for (const [entry, host] of EXCLUDED) {
  test(`NO_PROXY=${entry} excludes ${host}`, () => expect(found(entry, host)).toBe(false))
}

const INCLUDED: readonly (readonly [string, string])[] = [
  ['', 'api.example.com'],
  [',', 'api.example.com'],
  ['.example.com', 'example.com'],
  ['ample.com', 'example.com'],
  ['example.com:443', 'api.example.com'],
  ['10.0.0.0/8', '11.1.2.3'],
  ['10.0.0.0/99', '10.1.2.3'],
  ['0.1.2.3', '10.1.2.3'],
  ['fd00::/8', 'fe80::1'],
  ['10.0.0.0/8', 'fd00::1'],
]
for (const [entry, host] of INCLUDED) {
  test(`NO_PROXY=${entry} does not exclude ${host}`, () => expect(found(entry, host)).toBe(true))
}

test('a proxy has the port of its protocol and the login of its URL', () => {
  const authorization = `Basic ${Buffer.from('me:p@ss').toString('base64')}`
  expect(parseProxy('https://me:p%40ss@proxy', 'x')).toEqual({
    protocol: 'https:',
    host: 'proxy',
    port: 443,
    authorization,
  })
  expect(parseProxy('http://[fd00::1]', 'x')).toEqual({protocol: 'http:', host: 'fd00::1', port: 80})
})

test('another kind of proxy is refused, without its password', () => {
  const refused: unknown = expect.objectContaining({
    code: 'KUBECONFIG_UNSUPPORTED',
    message: 'proxy-url is a proxy with protocol socks5; http and https are supported',
  })
  expect(() => parseProxy('socks5://me:hidden@proxy', 'proxy-url')).toThrow(refused)
  expect(() => parseProxy('http://me:hidden@', 'proxy-url')).toThrow(/^proxy-url is not a URL$/)
})
