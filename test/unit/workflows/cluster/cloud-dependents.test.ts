import {expect, test} from 'vitest'
import type {KubeObject} from '../../../../src/kubernetes/types.ts'
import {findClusterMade, removeClusterMade} from '../../../../src/workflows/cluster/cloud-dependents.ts'
import {FakeKube} from '../../../support/fake-kube.ts'
import {recordingReport} from '../../../support/recording-report.ts'

const tools = () => ({
  report: recordingReport().report,
  signal: new AbortController().signal,
  now: () => 0,
})
const thing = (apiVersion: string, kind: string, name: string, rest: object = {}): KubeObject => ({
  apiVersion,
  kind,
  metadata: {name, ...(kind === 'PersistentVolume' ? {} : {namespace: 'default'})},
  ...rest,
})
const quick = {timeoutMs: 100, intervalMs: 1}

function cluster(): FakeKube {
  const kube: FakeKube = new FakeKube({
    // The driver gives the disk back when its claim is gone.
    onChange: (what) => {
      if (what !== 'delete PersistentVolumeClaim default/data-db-0') return
      void kube.delete({apiVersion: 'v1', kind: 'PersistentVolume', name: 'pv-1'})
    },
  })
  const claim = {volumes: [{persistentVolumeClaim: {claimName: 'data-db-0'}}]}
  kube.put(thing('v1', 'Service', 'web', {spec: {type: 'LoadBalancer'}}))
  kube.put(thing('v1', 'Service', 'internal', {spec: {type: 'ClusterIP'}}))
  kube.put(thing('networking.k8s.io/v1', 'Ingress', 'site', {spec: {}}))
  kube.put(thing('v1', 'PersistentVolumeClaim', 'data-db-0', {spec: {}}))
  kube.put(
    thing('v1', 'PersistentVolume', 'pv-1', {
      spec: {persistentVolumeReclaimPolicy: 'Delete', csi: {driver: 'ebs.csi.aws.com'}},
    }),
  )
  kube.put(thing('apps/v1', 'StatefulSet', 'db'))
  const pod = thing('v1', 'Pod', 'db-0', {spec: claim})
  const ownerReferences = [{apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'db'}]
  kube.put({...pod, metadata: {...pod.metadata, ownerReferences}})
  kube.put(thing('v1', 'Pod', 'other', {spec: {}}))
  return kube
}

test('what a cloud is behind is given back: load balancers, ingresses, and claims with the pods that hold them', async () => {
  const kube = cluster()
  const removed = await removeClusterMade(kube, {keepData: false, ...quick}, tools())
  expect(removed).toEqual([
    'Service default/web',
    'Ingress default/site',
    'PersistentVolumeClaim default/data-db-0',
  ])
  expect(kube.changes).toContain('delete StatefulSet default/db')
  expect(kube.changes).toContain('delete Pod default/db-0')
  expect(await kube.list({apiVersion: 'v1', kind: 'PersistentVolume'})).toEqual([])
  expect((await kube.list({apiVersion: 'v1', kind: 'Pod'})).map(({metadata}) => metadata.name)).toEqual([
    'other',
  ])
  expect((await kube.list({apiVersion: 'v1', kind: 'Service'})).map(({metadata}) => metadata.name)).toEqual([
    'internal',
  ])
})

test('volumes that are to be kept are not touched, nor who uses them', async () => {
  const kube = cluster()
  const removed = await removeClusterMade(kube, {keepData: true, ...quick}, tools())
  expect(removed).toEqual(['Service default/web', 'Ingress default/site'])
  expect(
    kube.holds({apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: 'default', name: 'data-db-0'}),
  ).toBe(true)
  expect(kube.holds({apiVersion: 'v1', kind: 'Pod', namespace: 'default', name: 'db-0'})).toBe(true)
})

test('a volume that its driver does not give back in time is left to the sweep', async () => {
  const kube = new FakeKube()
  kube.put(
    thing('v1', 'PersistentVolume', 'pv-1', {
      spec: {persistentVolumeReclaimPolicy: 'Delete', csi: {driver: 'ebs.csi.aws.com'}},
    }),
  )
  const recorded = recordingReport()
  const removed = await removeClusterMade(
    kube,
    {keepData: false, ...quick},
    {...tools(), report: recorded.report},
  )
  expect(removed).toEqual([])
  expect(recorded.events.at(-1)).toMatchObject({type: 'task-failed', task: 'cluster-made'})
})

test('looking changes nothing', async () => {
  const kube = cluster()
  expect(await findClusterMade(kube, false)).toHaveLength(3)
  expect(kube.changes).toEqual([])
})
