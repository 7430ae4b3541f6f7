import {expect, test} from 'vitest'
import {parse, stringify} from 'yaml'
import {currentCredentials, externalKubeconfig} from '../../src/kubernetes/kubeconfig.ts'

const admin = `apiVersion: v1
kind: Config
clusters:
- cluster: {certificate-authority-data: Q0E=, server: "https://10.0.0.2:6443"}
  name: kubernetes
contexts:
- context: {cluster: kubernetes, user: kubernetes-admin}
  name: kubernetes-admin@kubernetes
current-context: kubernetes-admin@kubernetes
users:
- name: kubernetes-admin
  user: {client-certificate-data: QQ==, client-key-data: Qg==}
`

test('the kubeconfig for this machine names everything after the cluster and points outside', () => {
  expect(parse(externalKubeconfig(admin, {server: '127.0.0.1:40000', cluster: 'demo'}))).toEqual({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {name: 'demo', cluster: {'certificate-authority-data': 'Q0E=', server: 'https://127.0.0.1:40000'}},
    ],
    users: [{name: 'demo-admin', user: {'client-certificate-data': 'QQ==', 'client-key-data': 'Qg=='}}],
    contexts: [{name: 'demo', context: {cluster: 'demo', user: 'demo-admin'}}],
    'current-context': 'demo',
  })
})

test('a cluster that is called as YAML 1.1 calls a truth keeps its name for kubectl', () => {
  const text = externalKubeconfig(admin, {server: '127.0.0.1:40000', cluster: 'on'})
  expect(parse(text, {version: '1.1'})).toMatchObject({
    clusters: [{name: 'on'}],
    contexts: [{name: 'on', context: {cluster: 'on'}}],
    'current-context': 'on',
  })
})

test('who somebody is there, and whom to trust, is read as kubeadm writes it', () => {
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  const config = {
    clusters: [
      {name: 'demo', cluster: {server: 'https://a:6443', 'certificate-authority-data': base64('CA')}},
    ],
    users: [
      {name: 'other', user: {}},
      {name: 'me', user: {'client-certificate-data': base64('CERT'), 'client-key-data': base64('KEY')}},
    ],
    contexts: [{name: 'me@demo', context: {cluster: 'demo', user: 'me'}}],
    'current-context': 'me@demo',
  }
  expect(currentCredentials(stringify(config))).toEqual({ca: 'CA', cert: 'CERT', key: 'KEY'})
  const inFiles = {...config, users: [{name: 'me', user: {'client-key-data': '/root/key.pem'}}]}
  expect(() => currentCredentials(stringify(inFiles))).toThrow(/not in the form that kubeadm writes/)
})

const LEFT_OUT: readonly (readonly ['cluster' | 'user', Record<string, unknown>, string])[] = [
  ['user', {exec: {command: 'aws'}}, 'its user has exec'],
  ['user', {token: 'hidden', username: 'hidden'}, 'its user has token, username'],
  ['user', {tokenFile: '/token'}, 'its user has tokenFile'],
  ['user', {as: 'jane'}, 'its user has as'],
  ['user', {'auth-provider': {name: 'oidc'}}, 'its user has auth-provider'],
  ['user', {'client-certificate': '/cert'}, 'its user has client-certificate'],
  ['cluster', {'proxy-url': 'http://a:hidden@proxy'}, 'its cluster has proxy-url'],
  ['cluster', {'tls-server-name': 'a'}, 'its cluster has tls-server-name'],
  ['cluster', {'insecure-skip-tls-verify': true}, 'its cluster has insecure-skip-tls-verify'],
  ['cluster', {'certificate-authority': '/ca'}, 'its cluster has certificate-authority'],
  ['cluster', {server: 'https://a:6443/k8s/c-1'}, 'its server is not https://HOST:PORT'],
  ['cluster', {server: 'http://a:8080'}, 'its server is not https://HOST:PORT'],
]

for (const [kind, more, problem] of LEFT_OUT) {
  test(`a kubeconfig is refused before anything is left out: ${problem} (${Object.keys(more).join()})`, () => {
    const config = {
      clusters: [{name: 'c', cluster: {server: 'https://a:6443', ...(kind === 'cluster' ? more : {})}}],
      users: [{name: 'u', user: {'client-key-data': 'Qg==', ...(kind === 'user' ? more : {})}}],
      contexts: [{name: 'x', context: {cluster: 'c', user: 'u'}}],
      'current-context': 'x',
    }
    const message = `the kubeconfig of the API server is not in the form that kubeadm writes: ${problem}`
    expect(() => currentCredentials(stringify(config))).toThrow(
      expect.objectContaining({code: 'KUBECONFIG_UNSUPPORTED', message}),
    )
  })
}

test('what changes nothing of who is asked and as whom is no reason to refuse', () => {
  const extensions = [{name: 'clouder.dev', extension: {cluster: 'demo'}}]
  const config = {
    clusters: [
      {
        name: 'c',
        cluster: {server: 'https://[fd00::1]:6443/', extensions, 'insecure-skip-tls-verify': false},
      },
    ],
    users: [{name: 'u', user: {'client-key-data': 'Qg==', token: ''}}],
    contexts: [{name: 'x', context: {cluster: 'c', user: 'u'}}],
    'current-context': 'x',
  }
  expect(currentCredentials(stringify(config))).toMatchObject({key: 'B'})
})
