import {afterAll, expect, test, type TestContext} from 'vitest'
import {waitFor} from '../../../src/base/waiting.ts'
import {needBundle, startApiServer, type ApiServer} from '../../support/with-api-server.ts'

/** With its programs unpacked and its certificates made. */
const START_LIMIT_MS = 8000
const {signal} = new AbortController()
let started: Promise<ApiServer> | undefined

const apiServer = async (context: TestContext): Promise<ApiServer> => {
  const bundle = await needBundle(context)
  return (started ??= startApiServer(bundle, {controllerManager: true}))
}

afterAll(async () => {
  await (await started)?.[Symbol.asyncDispose]()
})

test('an API server that was started before on this machine is ready within 8 seconds', async (context) => {
  await apiServer(context)
  const startedMs = performance.now()
  await using _api = await startApiServer(await needBundle(context))
  expect(performance.now() - startedMs).toBeLessThan(START_LIMIT_MS)
})

test('the controller manager makes service accounts and empties a namespace that is deleted', async (context) => {
  const {kube} = await apiServer(context)
  const inside = '/api/v1/namespaces/inhabited'
  await kube.apply([
    {apiVersion: 'v1', kind: 'Namespace', metadata: {name: 'inhabited'}},
    {apiVersion: 'v1', kind: 'ConfigMap', metadata: {name: 'content', namespace: 'inhabited'}},
  ])
  await untilStatus(kube, `${inside}/serviceaccounts/default`, 200)
  await kube.delete({apiVersion: 'v1', kind: 'Namespace', name: 'inhabited'})
  await untilStatus(kube, inside, 404)
})

test('a restarted API server has what it had, at the same port, and etcd answers meanwhile', async (context) => {
  const api = await apiServer(context)
  const {kube, etcd} = api
  const kept = {apiVersion: 'v1', kind: 'ConfigMap', metadata: {name: 'kept', namespace: 'default'}}
  await kube.apply([kept])
  await api.stop()
  expect(await (await fetch(`${etcd}/version`)).json()).toHaveProperty('etcdserver')
  await expect(kube.fetch('/readyz')).rejects.toThrow()
  await api.restart()
  expect((await kube.fetch('/api/v1/namespaces/default/configmaps/kept')).status).toBe(200)
})

async function untilStatus(kube: ApiServer['kube'], path: string, wanted: number): Promise<void> {
  await waitFor({
    what: `status ${wanted} of ${path}`,
    check: async () => {
      const {status} = await kube.fetch(path)
      return {seen: String(status), ...(status === wanted ? {value: true} : {})}
    },
    timeoutMs: 60_000,
    intervalMs: 100,
    signal,
  })
}
