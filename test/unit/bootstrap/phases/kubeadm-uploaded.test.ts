import {expect, test} from 'vitest'
import {kubeProxyReason} from '../../../../src/bootstrap/phases/kubeadm-uploaded.ts'

const NODE_NAME = {name: 'NODE_NAME', valueFrom: {fieldRef: {fieldPath: 'spec.nodeName'}}}
const kubeProxy = (...env: readonly object[]) => ({
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: {name: 'kube-proxy', namespace: 'kube-system'},
  spec: {template: {spec: {containers: [{name: 'kube-proxy', env: [NODE_NAME, ...env]}]}}},
})
const variable = (name: string, value: string) => ({name, value})
const HTTPS = 'HTTPS_PROXY=http://proxy:3128'

test.each<[string, ReturnType<typeof kubeProxy> | undefined, readonly string[], string | undefined]>([
  ['without a proxy', kubeProxy(), [], undefined],
  ['that is absent', undefined, [HTTPS], undefined],
  ['with the proxy of the spec', kubeProxy(variable('HTTPS_PROXY', 'http://proxy:3128')), [HTTPS], undefined],
  [
    'with the proxy of a shell that kubeadm once ran in',
    kubeProxy(variable('https_proxy', 'http://old:3128')),
    [],
    'the proxy variables of its pods differ from the desired ones: https_proxy',
  ],
  [
    'with an older value',
    kubeProxy(variable('HTTPS_PROXY', 'http://proxy:3128'), variable('NO_PROXY', 'localhost')),
    [HTTPS, 'NO_PROXY=localhost,.svc'],
    'the proxy variables of its pods differ from the desired ones: NO_PROXY',
  ],
  [
    'that lacks the proxy',
    kubeProxy(),
    [HTTPS],
    'the proxy variables of its pods differ from the desired ones: HTTPS_PROXY',
  ],
])('kube-proxy %s', (_what, daemonSet, proxy, reason) => {
  expect(kubeProxyReason(daemonSet, proxy)).toBe(reason)
})
