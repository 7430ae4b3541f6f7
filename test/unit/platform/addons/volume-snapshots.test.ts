import {expect, test} from 'vitest'
import {volumeSnapshotsAddon} from '../../../../src/platform/addons/volume-snapshots/addon.ts'
import {expectGolden, faultsOf, privilegesOf, renderedBy} from '../../../support/addon-golden.ts'
import {FakeKube} from '../../../support/fake-kube.ts'

const objects = renderedBy(volumeSnapshotsAddon)

test('the objects are as their golden file says', () => {
  expectGolden('volume-snapshots', objects)
  expect(faultsOf(volumeSnapshotsAddon, objects)).toEqual([])
  expect(privilegesOf(objects)).toEqual([])
})

test('a snapshot keeps it: without its definition it would be gone', async () => {
  const kube = new FakeKube()
  expect(await volumeSnapshotsAddon.usedBy?.(kube)).toEqual([])
  kube.put({
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshot',
    metadata: {namespace: 'shop', name: 'daily'},
  })
  expect(await volumeSnapshotsAddon.usedBy?.(kube)).toEqual([expect.stringContaining('shop/daily')])
})
