import {writeFile} from 'node:fs/promises'
import {expect, test} from 'vitest'
import {KubernetesError} from '../../src/kubernetes/errors.ts'
import type {KubeOpener} from '../../src/kubernetes/types.ts'
import {withCheckpoints} from '../../src/workflows/checkpoint/cluster.ts'
import type {Tools} from '../../src/workflows/session/types.ts'
import {withDemo, type Demo} from '../support/simulated-demo.ts'

type Opened = Awaited<ReturnType<KubeOpener>>

/** By which ways the API server of a demo was opened, in order; what is at the address of the kubeconfig is given. */
async function waysOf(
  demo: Demo,
  atAddress: (kube: Opened) => Opened,
  change: Partial<Tools> = {},
): Promise<readonly string[]> {
  const ways: string[] = []
  const {tools} = demo.run()
  const openKube: KubeOpener = async (options) => {
    ways.push(options.port === undefined ? 'direct' : 'ssh')
    const kube = await tools.openKube(options)
    return options.port === undefined ? atAddress(kube) : kube
  }
  const nodes = await withCheckpoints('demo', {...tools, ...change, openKube}, ({kube}) =>
    kube.list({apiVersion: 'v1', kind: 'Node'}),
  )
  expect(nodes).toHaveLength(2)
  return ways
}

/** With this answer to what is fetched. */
const answering =
  (answer: Opened['fetch']) =>
  (kube: Opened): Opened =>
    new Proxy(kube, {
      get: (target, key) => {
        if (key === 'fetch') return answer
        const value: unknown = Reflect.get(target, key)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })

const asItIs = (kube: Opened): Opened => kube

test('the API server is opened where the kubeconfig says, and by SSH where nobody answers there', async () => {
  await withDemo({workers: 1}, async (demo) => {
    await demo.init()
    expect(await waysOf(demo, asItIs)).toEqual(['direct'])
    const away = () => Promise.reject(new KubernetesError('API_UNREACHABLE', 'connection refused'))
    expect(await waysOf(demo, answering(away))).toEqual(['direct', 'ssh'])
    // Credentials that have run out, or another cluster's.
    const stranger = () => Promise.resolve({status: 401, body: ''})
    expect(await waysOf(demo, answering(stranger))).toEqual(['direct', 'ssh'])
    const silent: Opened['fetch'] = (_path, signal) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(new Error('aborted')))
      })
    expect(await waysOf(demo, answering(silent))).toEqual(['direct', 'ssh'])
  })
})

test('a kubeconfig that is damaged is not gone by', async () => {
  await withDemo({workers: 1}, async (demo) => {
    await demo.init()
    const {tools} = demo.run()
    const {openKube} = await import('../../src/kubernetes/client.ts')
    const own: KubeOpener = (options) =>
      options.port === undefined ? openKube(options) : tools.openKube(options)
    for (const text of ['', '{', 'clusters: 7', 'apiVersion: v1\nkind: Config\n']) {
      await writeFile(demo.store.paths('demo').kubeconfig, text)
      const opened = withCheckpoints('demo', {...tools, openKube: own}, ({endpoint}) =>
        Promise.resolve(endpoint),
      )
      expect(await opened).toMatch(/:6443$/)
    }
  })
})
