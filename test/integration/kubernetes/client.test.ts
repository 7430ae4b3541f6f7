import {afterAll, expect, test, type TestContext} from 'vitest'
import {KubernetesError} from '../../../src/errors.ts'
import {openKube} from '../../../src/kubernetes/client.ts'
import {flannelObjects} from '../../../src/addons/flannel.ts'
import {kubeContract} from '../../support/kube-contract.ts'
import {needBundle, startApiServer, type ApiServer} from '../../support/with-api-server.ts'

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

test('the objects of the network are taken by a real API server, and are no difference afterwards', async (context) => {
  const {kube} = await apiServer(context)
  const objects = flannelObjects({
    image: 'clouder.dev/flannel:1',
    podCidr: '10.244.0.0/16',
    api: '[fd00::1]:6443',
  })
  expect(await kube.diff(objects)).toHaveLength(objects.length)
  await kube.apply(objects)
  expect(await kube.diff(objects)).toEqual([])
})

test('a call that is aborted ends with the reason, one without an answer with API_UNREACHABLE', async (context) => {
  const {kube, kubeconfig} = await apiServer(context)
  await expect(kube.fetch('/readyz', AbortSignal.abort(new Error('stopped')))).rejects.toThrow('abort')
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
