import {expect, test} from 'vitest'
import type {ClusterTools} from '../../../../src/bootstrap/phases/context.ts'
import {nodeMetadataPhase} from '../../../../src/bootstrap/phases/node-metadata.ts'
import type {KubeClient} from '../../../../src/kubernetes/types.ts'
import {FakeHost} from '../../../support/fake-host.ts'
import {FakeKube} from '../../../support/fake-kube.ts'
import {phaseContext} from '../../../support/phase-context.ts'

const {signal} = new AbortController()
const OURS = {key: 'gpu', value: 'true', effect: 'NoSchedule'} as const
const THEIRS = {key: 'node.kubernetes.io/unreachable', effect: 'NoExecute'}
const NODE = {apiVersion: 'v1', kind: 'Node', name: 'worker-1'} as const

test('a taint that somebody sets between the read and the write of the list stays', async () => {
  const kube = new FakeKube()
  kube.put({apiVersion: 'v1', kind: 'Node', metadata: {name: NODE.name}, spec: {}})
  let writes = 0
  const raced: Pick<KubeClient, 'get' | 'list' | 'patch'> = {
    get: (ref) => kube.get(ref),
    list: (query) => kube.list(query),
    patch: async (ref, patch, options) => {
      if (writes++ === 0) await kube.patch(NODE, {spec: {taints: [THEIRS]}})
      return kube.patch(ref, patch, options)
    },
  }
  const reached: KubeClient = new Proxy(kube, {
    get: (target, name) => Reflect.get(name in raced ? raced : target, name) as unknown,
  })
  const host = new FakeHost({name: NODE.name, machine: {taints: [OURS]}})
  const [step, ...more] = await nodeMetadataPhase.plan(
    {...phaseContext([host]), kube: () => Promise.resolve(kube)},
    signal,
  )
  if (step === undefined || step.on !== undefined) expect.fail('there is no step of the cluster')
  expect(more).toEqual([])
  const tools: ClusterTools = {
    kube: () => Promise.resolve(reached),
    hostFor: () => expect.fail('no host is asked'),
    writeLocal: () => Promise.resolve(),
    hideSecret: () => undefined,
    holder: 'test',
    now: Date.now,
  }
  await step.run(tools, {signal, progress: () => undefined})
  expect((await kube.get(NODE))?.['spec']).toEqual({taints: [THEIRS, OURS]})
  expect(writes).toBe(2)
})
