import {expect, test} from 'vitest'
import {z} from 'zod'
import {ConflictError} from '../../../src/kubernetes/conflict.ts'
import type {KubeObject} from '../../../src/kubernetes/types.ts'
import {ReconcileLoop} from '../../../src/operator/reconcile-loop.ts'
import type {ReconcileContext, Reconciler} from '../../../src/operator/reconciler.ts'
import {FakeKube} from '../../support/fake-kube.ts'

type Context = ReconcileContext<'ConfigMap'>

const configMap = (name: string, data: unknown): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: {name, namespace: 'default'},
  data,
})
const ref = (name: string) => ({apiVersion: 'v1', kind: 'ConfigMap', namespace: 'default', name}) as const

function scene(
  reconciler: Partial<Reconciler<'ConfigMap', Context>>,
  onSynced: (context: Context) => Promise<void> = () => Promise.resolve(),
) {
  const kube = new FakeKube()
  const over = new AbortController()
  const logged: string[] = []
  const log = (_: string, message: string): void => void logged.push(message)
  const start = () =>
    new ReconcileLoop<'ConfigMap', Context>(
      {
        kinds: {
          ConfigMap: {
            apiVersion: 'v1',
            namespace: 'default',
            schema: z.looseObject({data: z.record(z.string(), z.string())}),
          },
        },
        reconcilers: () => [
          {name: 'one', kind: 'ConfigMap', reconcile: () => Promise.resolve(undefined), ...reconciler},
        ],
        contextOf: (context) => context,
        onSynced,
        retryMs: {first: 1, most: 5},
      },
      {kube, component: 'test', log, now: Date.now, signal: over.signal},
    )
  return {kube, over, logged, start}
}

test('behind an object that is gone it is tidied up until that succeeds, as the object was when it could be read', async () => {
  const forgotten: unknown[] = []
  const {kube, over, logged, start} = scene({
    forget: (object) => {
      forgotten.push(object['data'])
      if (forgotten.length === 1) return Promise.reject(new Error('not now'))
      return forgotten.length === 2
        ? Promise.reject(new ConflictError('changed'))
        : Promise.resolve(undefined)
    },
  })
  kube.put(configMap('a', {x: '1'}))
  const loop = start()
  const ended = loop.run()
  await expect.poll(() => loop.unready()).toBeUndefined()
  kube.put(configMap('a', 7))
  await kube.delete(ref('a'))
  await expect.poll(() => forgotten).toEqual([{x: '1'}, {x: '1'}, {x: '1'}])
  await loop.idle()
  expect(logged).toEqual(['reconcile failed, retrying'])
  over.abort()
  await ended
})

test('what is done once everything has been read is done then, and until it succeeds', async () => {
  const seen: unknown[] = []
  const {kube, over, start} = scene({}, ({objects}) => {
    seen.push(objects.list('ConfigMap').map(({metadata}) => metadata.name))
    return seen.length === 1 ? Promise.reject(new Error('not now')) : Promise.resolve()
  })
  kube.put(configMap('a', {}))
  kube.put(configMap('b', {}))
  const loop = start()
  const ended = loop.run()
  await expect.poll(() => seen.length).toBe(2)
  await loop.idle()
  expect(seen).toEqual([
    ['a', 'b'],
    ['a', 'b'],
  ])
  over.abort()
  await ended
})
