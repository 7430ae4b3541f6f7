import {expect, test} from 'vitest'
import {parse, stringify} from 'yaml'
import {StateError} from '../../src/errors.ts'
import {currentCredentials, externalKubeconfig, mergeKubeconfig} from '../../src/kubernetes/kubeconfig.ts'

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

test('merging keeps what is there, replaces what is the same cluster, and twice is once', () => {
  const mine = externalKubeconfig(admin, {server: 'old:6443', cluster: 'other'})
  const demo = externalKubeconfig(admin, {server: 'new:6443', cluster: 'demo'})
  const once = mergeKubeconfig(mine, demo, 'demo')
  expect(mergeKubeconfig(once, demo, 'demo')).toBe(once)
  expect(parse(once)).toMatchObject({
    clusters: [{name: 'other'}, {name: 'demo', cluster: {server: 'https://new:6443'}}],
    contexts: [{name: 'other'}, {name: 'demo', context: {cluster: 'demo', user: 'demo-admin'}}],
    'current-context': 'demo',
  })
})

test('merging into nothing makes a whole kubeconfig', () => {
  const demo = externalKubeconfig(admin, {server: 'new:6443', cluster: 'demo'})
  expect(parse(mergeKubeconfig('', demo, 'elsewhere'))).toMatchObject({
    kind: 'Config',
    contexts: [{name: 'elsewhere', context: {cluster: 'elsewhere', user: 'elsewhere-admin'}}],
  })
})

test('a file that is no kubeconfig is refused, not overwritten', () => {
  expect(() => mergeKubeconfig('clusters: 7', admin, 'demo')).toThrow(StateError)
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
  expect(() => currentCredentials(stringify(inFiles))).toThrow(/not as kubeadm writes it/)
})
