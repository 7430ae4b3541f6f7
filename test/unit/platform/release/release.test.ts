import {expect, test} from 'vitest'
import {refOf} from '../../../../src/kubernetes/refs.ts'
import {installedReleases} from '../../../../src/platform/release/history.ts'
import {planRelease} from '../../../../src/platform/release/plan.ts'
import {removeRelease} from '../../../../src/platform/release/remove.ts'
import {FakeKube} from '../../../support/fake-kube.ts'
import {
  applyOptions,
  configMap,
  deployment,
  install,
  namespace,
  release,
} from '../../../support/release-scene.ts'

test('an API server in memory takes a release, and has nothing to change afterwards', async () => {
  const kube = new FakeKube()
  const wanted = release('web', [namespace('web'), configMap('web', 'a', {v: '1'}), deployment('web', 'web')])
  await install(kube, wanted)
  expect((await planRelease(kube, wanted)).changes).toEqual([])
  const next = release('web', [namespace('web'), configMap('web', 'a', {v: '2'})])
  expect((await planRelease(kube, next)).changes).toMatchObject([
    {action: 'update', fields: [{path: 'data.v', before: '1', after: '2'}]},
    {action: 'delete', ref: refOf(deployment('web', 'web'))},
  ])
  await install(kube, next)
  expect(kube.holds(refOf(deployment('web', 'web')))).toBe(false)
  expect((await installedReleases(kube, 'addon')).map(({name, revision}) => [name, revision])).toEqual([
    ['web', 2],
  ])
  await removeRelease(kube, wanted, applyOptions())
  expect(await installedReleases(kube, 'addon')).toEqual([])
  expect(kube.holds(refOf(namespace('web')))).toBe(false)
})
