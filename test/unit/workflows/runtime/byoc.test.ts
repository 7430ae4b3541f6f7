import {expect, test} from 'vitest'
import {SYSTEM_NAMESPACE} from '../../../../src/api/names.ts'
import {drainHost, registerHost, removeHost} from '../../../../src/workflows/runtime/byoc.ts'
import {FakeKube} from '../../../support/fake-kube.ts'

const options = {name: 'lab-1', slots: 1, endpoint: '192.0.2.1:6443'}
const ref = {apiVersion: 'v1', kind: 'Node', name: 'lab-1'}

function cluster() {
  const rendered: unknown[] = []
  const secrets: string[] = []
  const kube = new FakeKube({
    answer: (path) =>
      path.endsWith('/token') ? {status: 201, body: JSON.stringify({status: {token: 'a-token'}})} : undefined,
  })
  kube.put({apiVersion: 'v1', kind: 'Namespace', metadata: {name: SYSTEM_NAMESPACE}})
  kube.put({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {name: 'kube-root-ca.crt', namespace: SYSTEM_NAMESPACE},
    data: {'ca.crt': 'the CA'},
  })
  const tools = {
    renderer: {
      render: (_: string, view: unknown) => {
        rendered.push(view)
        return 'a script'
      },
    },
    hideSecret: (value: string) => void secrets.push(value),
    signal: new AbortController().signal,
  }
  const join = (metadata: object = {}, spec: object = {}): void =>
    kube.put({apiVersion: 'v1', kind: 'Node', metadata: {name: 'lab-1', ...metadata}, spec})
  return {kube, tools, rendered, secrets, join, node: () => kube.get(ref)}
}

const RBAC = 'rbac.authorization.k8s.io/v1'
const accessIn = (kube: FakeKube) => [
  ...kube.peek('v1', 'ServiceAccount'),
  ...['ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding'].flatMap((kind) => kube.peek(RBAC, kind)),
]

test('a host that has joined gets what it has as labels, and no token', async () => {
  const {kube, tools, join, node} = cluster()
  join({labels: {'capability.clouder.dev/old': 'yes', 'clouder.dev/pool': 'big'}})
  const {host, script} = await registerHost(kube, {...options, capabilities: {gpu: 'a10'}}, tools)
  expect(script).toBeUndefined()
  expect(host.spec).toMatchObject({capabilities: {gpu: 'a10'}, unschedulable: false})
  expect((await node())?.metadata.labels).toEqual({
    'capability.clouder.dev/gpu': 'a10',
    'clouder.dev/pool': 'big',
  })
  expect(kube.peek('v1', 'ServiceAccount')).toEqual([])
  const again = await registerHost(kube, {...options, capabilities: {disk: 'fast'}}, tools)
  expect(again.host.spec.capabilities).toEqual({disk: 'fast'})
  await removeHost(kube, 'lab-1')
  expect((await node())?.metadata.labels).toEqual({'clouder.dev/pool': 'big'})
})

test('drained it is cordoned until it is registered again; a node that others cordoned stays so', async () => {
  const {kube, tools, join, node} = cluster()
  join()
  await registerHost(kube, {...options, capabilities: {}}, tools)
  await drainHost(kube, 'lab-1')
  expect(await node()).toMatchObject({spec: {unschedulable: true}})
  await registerHost(kube, {...options, capabilities: {}}, tools)
  expect((await node())?.['spec']).toEqual({})
  join({}, {unschedulable: true})
  await registerHost(kube, {...options, capabilities: {}}, tools)
  expect(await node()).toMatchObject({spec: {unschedulable: true}})
})

test('any other host gets a script with a token of its own, which is hidden', async () => {
  const {kube, tools, rendered, secrets} = cluster()
  expect((await registerHost(kube, {...options, capabilities: {}}, tools)).script).toBe('a script')
  expect(rendered).toMatchObject([{name: 'lab-1', ca: 'the CA', token: 'a-token'}])
  expect(secrets).toEqual(['a-token'])
  await removeHost(kube, 'lab-1')
  expect(accessIn(kube)).toEqual([])
})

test('registered again it gets another account, so that tokens of the first one end', async () => {
  const {kube, tools} = cluster()
  const uid = () => kube.peek('v1', 'ServiceAccount')[0]?.metadata.uid
  await registerHost(kube, {...options, capabilities: {}}, tools)
  const first = uid()
  await registerHost(kube, {...options, capabilities: {}}, tools)
  expect(uid()).toEqual(expect.any(String))
  expect(uid()).not.toBe(first)
})

test('a cluster that has no CA to give keeps the account of the host', async () => {
  const {kube, tools} = cluster()
  await registerHost(kube, {...options, capabilities: {}}, tools)
  const before = kube.peek('v1', 'ServiceAccount')
  kube.drop({apiVersion: 'v1', kind: 'ConfigMap', namespace: SYSTEM_NAMESPACE, name: 'kube-root-ca.crt'})
  await expect(registerHost(kube, {...options, capabilities: {}}, tools)).rejects.toThrow()
  expect(kube.peek('v1', 'ServiceAccount')).toEqual(before)
})

test('a host that has joined since it was registered needs its token no more', async () => {
  const {kube, tools, join} = cluster()
  await registerHost(kube, {...options, capabilities: {}}, tools)
  expect(accessIn(kube)).not.toEqual([])
  join()
  await registerHost(kube, {...options, capabilities: {}}, tools)
  expect(accessIn(kube)).toEqual([])
})

test('what cannot be a label is refused before anything is changed', async () => {
  const {kube, tools} = cluster()
  await expect(
    registerHost(kube, {...options, capabilities: {gpu: 'two words'}}, tools),
  ).rejects.toMatchObject({code: 'FLAG_INVALID'})
  expect(kube.peek('clouder.dev/v1alpha1', 'ContainerHost')).toEqual([])
})
