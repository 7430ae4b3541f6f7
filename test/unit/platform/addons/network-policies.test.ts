import {expect, test} from 'vitest'
import {networkPoliciesAddon} from '../../../../src/platform/addons/network-policies/addon.ts'
import {expectGolden, factsOf, faultsOf, privilegesOf, renderedBy} from '../../../support/addon-golden.ts'
import {FakeKube} from '../../../support/fake-kube.ts'

const objects = renderedBy(networkPoliciesAddon)

test('the objects are as their golden file says', () => {
  expectGolden('network-policies', objects)
  expect(faultsOf(networkPoliciesAddon, objects)).toEqual([])
})

test('it writes the tables of its node, and may do nothing else', () => {
  expect(privilegesOf(objects)).toEqual([
    'DaemonSet kube-router: hostNetwork',
    'DaemonSet kube-router: runs as root',
    'DaemonSet kube-router: kube-router has NET_ADMIN',
    'DaemonSet kube-router: kube-router has NET_RAW',
  ])
})

test('without a pod network of ours it cannot be installed', () => {
  const {unavailable} = networkPoliciesAddon
  expect(unavailable?.(factsOf('network: {cni: none}').spec)).toContain('spec.network.cni is none')
  expect(unavailable?.(factsOf().spec)).toBeUndefined()
})

const node = (name: string) => ({apiVersion: 'v1', kind: 'Node', metadata: {name}, spec: {}})
const pod = (nodeName: string, status: 'True' | 'False') => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: `kube-router-${nodeName}`,
    namespace: 'kube-system',
    labels: {'app.kubernetes.io/name': 'kube-router'},
  },
  spec: {nodeName, containers: []},
  status: {phase: 'Running', conditions: [{type: 'Ready', status}]},
})

test('a node without a Ready pod of it is named', async () => {
  const kube = new FakeKube()
  for (const name of ['cp-1', 'worker-1', 'worker-2']) kube.put(node(name))
  kube.put(pod('cp-1', 'True'))
  kube.put(pod('worker-1', 'False'))
  const problems = async () =>
    (await networkPoliciesAddon.ready(kube, {}, factsOf())).map(({problem}) => problem)
  expect(await problems()).toEqual([
    expect.stringContaining('node worker-1 '),
    expect.stringContaining('node worker-2 '),
  ])
  kube.put(pod('worker-1', 'True'))
  kube.put(pod('worker-2', 'True'))
  expect(await problems()).toEqual([])
})

test('it is in use while there is a policy', async () => {
  const kube = new FakeKube()
  expect(await networkPoliciesAddon.usedBy?.(kube)).toEqual([])
  kube.put({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: {name: 'deny', namespace: 'shop'},
    spec: {},
  })
  expect(await networkPoliciesAddon.usedBy?.(kube)).toEqual(['NetworkPolicy shop/deny is enforced by it'])
})
