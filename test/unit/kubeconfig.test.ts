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
  expect(() => currentCredentials(stringify(inFiles))).toThrow(/not as kubeadm writes it/)
})
