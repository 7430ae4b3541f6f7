import {expect, test} from 'vitest'
import * as syntax from '../../../src/spec/syntax.ts'

const cases: readonly [name: string, check: syntax.Check, good: readonly string[], bad: readonly string[]][] =
  [
    [
      'DNS label',
      syntax.dnsLabel,
      ['a', '0', 'a-b', 'x'.repeat(63)],
      ['', 'A', '-a', 'a-', 'a.b', 'a_b', 'ä', 'x'.repeat(64), 'a\n'],
    ],
    [
      'host',
      syntax.hostName,
      ['10.0.0.1', 'fd00::1', 'node', 'Node.example.org'],
      ['', '10.0.0.256', '10.0.0', '-o', 'a b', 'a..b', 'a/b', 'user@host'],
    ],
    [
      'certificate name',
      syntax.certSan,
      ['*.example.org', 'example.org', '10.0.0.1'],
      ['*', '*.*.org', 'a.*'],
    ],
    ['network', syntax.cidr, ['10.0.0.0/8', 'fd00::/48'], ['10.0.0.1/8', '10.0.0.0', '10.0.0.0/33']],
    ['user', syntax.userName, ['root', 'debian', 'a.b-c_d'], ['', '-o', 'a b', '$(id)', 'a\n']],
    [
      'version',
      syntax.exactVersion,
      ['1.35.4', 'v1.35.4'],
      ['', 'latest', '1.35', '^1.35.4', '1.35.x', '1.35.4-rc.0', '01.35.4', 'vv1.2.3'],
    ],
    [
      'label key',
      syntax.labelKey,
      ['a', 'A_b.c', 'example.org/disk'],
      ['', '/a', 'a/', 'a/b/c', 'Example.org/a', '-a', 'x'.repeat(64)],
    ],
    ['label value', syntax.labelValue, ['', 'a', 'A_b.c-1'], ['-a', 'a b', 'x'.repeat(64)]],
    [
      'registry',
      syntax.registryHost,
      ['docker.io', 'localhost:5000', '10.0.0.1:5000'],
      ['', 'https://docker.io', 'docker.io/library', 'a:0', 'a:b', 'a:'],
    ],
    [
      'mirror',
      syntax.mirrorUrl,
      ['https://mirror.example.org', 'http://10.0.0.1:5000/v2/'],
      ['', 'mirror', 'ftp://a', 'https://u:p@a', 'https://a?b', 'file:///etc'],
    ],
    [
      'endpoint',
      syntax.apiEndpoint,
      ['api.example.org', '10.0.0.1:443', '[fd00::1]:6443', 'fd00::1'],
      ['', ':6443', 'a:0', 'a:70000', 'https://a', 'a:b', '[a', '10.0.0.1.2'],
    ],
    [
      'host key',
      syntax.hostKey,
      [`ssh-ed25519 ${'A'.repeat(68)}`, `ecdsa-sha2-nistp256 ${'A'.repeat(67)}=`],
      ['', 'ssh-ed25519', 'rsa AAAA', `SHA256:${'A'.repeat(43)}`],
    ],
    ['environment variable', syntax.environmentName, ['A', '_a1'], ['', '1a', 'a-b', 'A=1']],
    ['file path', syntax.filePath, ['~/.ssh/id', '/a b'], ['', 'a\0b', 'a\nb']],
  ]

for (const [name, check, good, bad] of cases) {
  test(`a ${name} is told from what only looks like one`, () => {
    expect(good.filter((value) => check(value) !== undefined)).toEqual([])
    expect(bad.filter((value) => check(value) === undefined)).toEqual([])
  })
}

test('an endpoint without a port has the port of the API server', () => {
  expect(syntax.parseEndpoint('api.example.org')).toEqual({host: 'api.example.org', port: 6443})
  expect(syntax.parseEndpoint('api.example.org:443')).toEqual({host: 'api.example.org', port: 443})
  expect(syntax.parseEndpoint('[fd00::1]:443')).toEqual({host: 'fd00::1', port: 443})
  expect(syntax.parseEndpoint('fd00::1')).toEqual({host: 'fd00::1', port: 6443})
})
