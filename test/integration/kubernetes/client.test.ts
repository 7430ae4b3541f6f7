import {mkdir, mkdtemp, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {afterAll, expect, test, type TestContext} from 'vitest'
import {KubernetesError} from '../../../src/kubernetes/errors.ts'
import {openKube} from '../../../src/kubernetes/client.ts'
import {openInClusterKube} from '../../../src/kubernetes/in-cluster.ts'
import {flannelObjects} from '../../../src/platform/addons/cni/flannel.ts'
import {kubeClientContract} from '../../support/kube-client-contract.ts'
import {kubeContract} from '../../support/kube-contract.ts'
import {needBundle, serveCheckpoints, startApiServer, type ApiServer} from '../../support/with-api-server.ts'
import {waitFor} from '../../../src/base/waiting.ts'
import {smokeNamespace, startServer} from '../../../src/workflows/checkpoint/smoke-pods.ts'

let started: Promise<ApiServer> | undefined

/** One real API server for the tests of this file. */
async function apiServer(context: TestContext): Promise<ApiServer> {
  const bundle = await needBundle(context)
  return (started ??= startApiServer(bundle))
}

afterAll(async () => {
  await (await started)?.[Symbol.asyncDispose]()
})

kubeContract('a real API server', async (context) => (await apiServer(context)).kube)
kubeClientContract('a real API server', async (context) => {
  const {kube} = await apiServer(context)
  await serveCheckpoints(kube)
  return kube
})

test('a program of the cluster is its service account, by a token that may change', async (context) => {
  const {kube, kubeconfig, port} = await apiServer(context)
  const dir = await mkdtemp(join(tmpdir(), 'clouder-account-'))
  const over = new AbortController()
  try {
    await kube.apply([
      {apiVersion: 'v1', kind: 'Namespace', metadata: {name: 'programs'}},
      {apiVersion: 'v1', kind: 'ServiceAccount', metadata: {name: 'agent', namespace: 'programs'}},
    ])
    await mkdir(dir, {recursive: true})
    const [, ca = ''] = /certificate-authority-data: (\S+)/.exec(kubeconfig) ?? []
    await writeFile(join(dir, 'ca.crt'), Buffer.from(ca, 'base64'))
    await writeFile(join(dir, 'token'), 'expired\n')
    const account = await openInClusterKube({
      host: '127.0.0.1',
      port,
      serviceAccountDir: dir,
      signal: over.signal,
    })
    const review = '/apis/authentication.k8s.io/v1/selfsubjectreviews'
    const body = JSON.stringify({apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview'})
    expect((await account.post(review, body)).status).toBe(401)
    const path = '/api/v1/namespaces/programs/serviceaccounts/agent/token'
    const request = {apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {}}
    const answer: unknown = JSON.parse((await kube.post(path, JSON.stringify(request))).body)
    const {status} = answer as {status: {token: string}}
    await writeFile(join(dir, 'token'), `${status.token}\n`)
    // The roles that everybody has are there before the API server follows them.
    const me = await waitFor({
      what: 'the account to be let in',
      check: async () => {
        const told = await account.post(review, body)
        return {seen: `${told.status} ${told.body}`, ...(told.status === 403 ? {} : {value: told})}
      },
      timeoutMs: 20_000,
      intervalMs: 50,
      signal: over.signal,
    })
    expect(me.status).toBe(201)
    expect(me.body).toContain('system:serviceaccount:programs:agent')
    account.close()
  } finally {
    over.abort()
    await rm(dir, {recursive: true, force: true})
  }
})

test('a watch goes on where it was when its connection breaks, and waits for a kind that is not served', async (context) => {
  const {kube, kubeconfig, port} = await apiServer(context)
  const over = new AbortController()
  const second = await openKube({kubeconfig, port, signal: over.signal})
  const told: string[] = []
  const problems: string[] = []
  const unheard = second.watch(
    {apiVersion: 'unheard.dev/v1', kind: 'Thing', onProblem: ({message}) => void problems.push(message)},
    () => undefined,
    over.signal,
  )
  const watching = second.watch(
    {apiVersion: 'v1', kind: 'Namespace'},
    ({type, object}) => void told.push(`${type} ${object.metadata.name}`),
    over.signal,
  )
  const seen = (what: string): Promise<unknown> =>
    waitFor({
      what,
      check: () => Promise.resolve({seen: told.join(), ...(told.includes(what) ? {value: true} : {})}),
      timeoutMs: 10_000,
      intervalMs: 20,
      signal: over.signal,
    })
  await seen('ADDED kube-system')
  // Breaks every connection that this client has.
  second.close()
  await kube.apply([{apiVersion: 'v1', kind: 'Namespace', metadata: {name: 'while-broken'}}])
  await seen('ADDED while-broken')
  expect(problems).toContain('Thing is not served yet')
  over.abort()
  await Promise.all([watching, unheard])
})

test('the objects of the network are taken by a real API server, and are no difference afterwards', async (context) => {
  const {kube} = await apiServer(context)
  const objects = flannelObjects({
    image: 'clouder.dev/flannel:1',
    podCidr: '10.244.0.0/16',
    serviceCidr: '10.96.0.0/12',
    api: '[fd00::1]:6443',
  })
  expect(await kube.diff(objects)).toHaveLength(objects.length)
  await kube.apply(objects)
  expect(await kube.diff(objects)).toEqual([])
})

test('a call that is aborted ends with the reason, one without an answer with API_UNREACHABLE', async (context) => {
  const {kube, kubeconfig} = await apiServer(context)
  await expect(kube.fetch('/readyz', AbortSignal.abort(new Error('stopped')))).rejects.toThrow('stopped')
  const nobody = await openKube({kubeconfig, port: 1, signal: new AbortController().signal})
  await expect(nobody.fetch('/readyz')).rejects.toBeInstanceOf(KubernetesError)
  await expect(nobody.fetch('/readyz')).rejects.toMatchObject({code: 'API_UNREACHABLE'})
  nobody.close()
})

test('a certificate of another authority is refused', async (context) => {
  const {kubeconfig, port} = await apiServer(context)
  const other = kubeconfig.replace(/certificate-authority-data: .*/, '')
  const stranger = await openKube({kubeconfig: other, port, signal: new AbortController().signal})
  await expect(stranger.fetch('/readyz')).rejects.toMatchObject({code: 'API_UNREACHABLE'})
  stranger.close()
})

test('a dry run of a pod is refused by admission although its name is taken', async (context) => {
  const {kube} = await apiServer(context)
  const namespace = 'restricted'
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name: 'web', namespace},
    spec: {nodeName: 'node-1', containers: [{name: 'c', image: 'clouder.dev/c:1'}]},
  }
  const enforced = (level: string) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {name: namespace, labels: {'pod-security.kubernetes.io/enforce': level}},
  })
  await kube.apply([
    enforced('privileged'),
    {apiVersion: 'v1', kind: 'ServiceAccount', metadata: {name: 'default', namespace}},
  ])
  await kube.create(pod)
  expect(await kube.create(pod, {dryRun: true})).toBeUndefined()
  await kube.apply([enforced('restricted')])
  // Admission hears of the label a moment later.
  const refusal = await waitFor({
    what: 'the refusal',
    check: async () => {
      const error = await kube.create(pod, {dryRun: true}).catch((thrown: unknown) => thrown)
      return error instanceof KubernetesError ? {seen: error.code, value: error} : {seen: 'accepted'}
    },
    timeoutMs: 20_000,
    intervalMs: 50,
    signal: new AbortController().signal,
  })
  expect(refusal).toMatchObject({code: 'API_REJECTED', answer: {status: 403}})
  expect(
    (await kube.get({apiVersion: 'v1', kind: 'Pod', name: 'web', namespace}))?.metadata.uid,
  ).toBeDefined()
})

test('a pod of the smoke test is taken as soon as its namespace is made', async (context) => {
  // No controller is here that would make the account of its pods, later.
  const {kube} = await apiServer(context)
  const over = new AbortController()
  const namespace = 'smoke'
  await kube.apply(smokeNamespace(namespace))
  let ended = ''
  const serving = startServer({kube, namespace, signal: over.signal}, {name: 'server', node: 'a'}).catch(
    (error: unknown) => (ended = String(error)),
  )
  const seen = await waitFor({
    what: 'the pod, or why there is none',
    check: async () => {
      const made = await kube.get({apiVersion: 'v1', kind: 'Pod', namespace, name: 'server'})
      const value = made === undefined ? ended : 'made'
      return {seen: value, ...(value === '' ? {} : {value})}
    },
    timeoutMs: 20_000,
    intervalMs: 50,
    signal: over.signal,
  })
  over.abort()
  await serving
  expect(seen).toBe('made')
})
