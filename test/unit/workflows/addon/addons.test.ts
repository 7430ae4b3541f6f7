import {expect, test} from 'vitest'
import {AbortError} from '../../../../src/base/errors.ts'
import {specFromDocument} from '../../../../src/spec/load.ts'
import {withAddons} from '../../../../src/workflows/addon/cluster.ts'
import {diffAddons} from '../../../../src/workflows/addon/diff.ts'
import {installAddon, upgradeAddons} from '../../../../src/workflows/addon/install.ts'
import {listAddons} from '../../../../src/workflows/addon/list.ts'
import {removeAddon} from '../../../../src/workflows/addon/remove.ts'
import {addonStatus} from '../../../../src/workflows/addon/status.ts'
import {withDemo, type Demo} from '../../../support/simulated-demo.ts'

const yes = (): Promise<void> => Promise.resolve()
const change = {dryRun: false, confirm: yes}
const CONFIG = {apiVersion: 'v1', kind: 'ConfigMap', namespace: 'kube-flannel', name: 'kube-flannel-cfg'}

const rowsOf = async ({run}: Demo) => {
  const {addons} = await withAddons('demo', run().tools, listAddons)
  return new Map(addons.map((row) => [row.id, row]))
}

const recordedOf = async ({store}: Demo) => specFromDocument((await store.load('demo'))?.document).addons

test('after an init its addons are installed and ready, nothing differs, and others are available', async () => {
  await withDemo({workers: 1}, async (demo) => {
    await demo.init()
    const rows = await rowsOf(demo)
    for (const id of ['cni', 'runtime-class', 'checkpoint'])
      expect(rows.get(id)).toMatchObject({isSelected: true, installed: {revision: 1, state: 'deployed'}})
    expect(rows.get('metrics-server')).toMatchObject({isSelected: false, profile: 'standard'})
    expect(rows.get('metrics-server')).not.toHaveProperty('installed')
    const status = await withAddons('demo', demo.run().tools, (opened) => addonStatus(opened, undefined))
    expect(status.addons.map(({id, isReady}) => `${id} ${String(isReady)}`).toSorted()).toEqual([
      'checkpoint true',
      'cni true',
      'runtime-class true',
    ])
    expect(status.isReady).toBe(true)
    expect((await diffAddons('demo', undefined, demo.run().tools)).plans).toEqual([])
  })
})

test('a manual change is shown by diff, and corrected by upgrade', async () => {
  await withDemo({workers: 1}, async (demo) => {
    await demo.init()
    const {kube} = demo.fleet.cluster
    await kube.patch(CONFIG, {data: {'net-conf.json': '{}'}})
    const {plans} = await diffAddons('demo', 'cni', demo.run().tools)
    expect(plans.flatMap(({changes}) => changes.map(({ref}) => ref.name))).toEqual(['kube-flannel-cfg'])
    const dry = await upgradeAddons('demo', undefined, {...change, dryRun: true}, demo.run().tools)
    expect(dry).toMatchObject({dryRun: true, steps: [], plans: [{release: {name: 'cni'}}]})
    expect((await kube.get(CONFIG))?.['data']).toMatchObject({'net-conf.json': '{}'})
    await upgradeAddons('demo', undefined, change, demo.run().tools)
    expect((await kube.get(CONFIG))?.['data']).not.toMatchObject({'net-conf.json': '{}'})
    expect((await demo.plan()).steps).toEqual([])
  })
})

test('an installed addon is in the record, so that an init keeps it; its images are on every node', async () => {
  await withDemo({workers: 1}, async (demo) => {
    await demo.init()
    const {steps, plans} = await installAddon(
      'demo',
      'local-path-storage',
      {path: '/mnt/volumes'},
      change,
      demo.run().tools,
    )
    expect(plans.map(({release}) => release.name)).toEqual(['local-path-storage'])
    expect(steps.map(({phase, host}) => `${phase} ${host ?? 'cluster'}`)).toEqual([
      'images cp-1',
      'images worker-1',
      'addons cluster',
    ])
    expect(await recordedOf(demo)).toMatchObject({
      profile: 'minimal',
      install: ['local-path-storage'],
      parameters: {'local-path-storage': {path: '/mnt/volumes'}},
    })
    expect((await rowsOf(demo)).get('local-path-storage')).toMatchObject({
      isSelected: true,
      installed: {state: 'deployed'},
    })
    const again = await installAddon('demo', 'local-path-storage', {}, change, demo.run().tools)
    expect(again).toMatchObject({plans: [], steps: []})
  })
})

test('wrong parameters and unknown addons are refused before anything changes', async () => {
  await withDemo({workers: 1}, async (demo) => {
    await demo.init()
    const [changes, objects] = [demo.fleet.changes.length, demo.fleet.cluster.kube.changes.length]
    const install = (id: string, parameters: object) =>
      installAddon('demo', id, {...parameters}, change, demo.run().tools)
    await expect(install('local-path', {})).rejects.toMatchObject({
      code: 'ADDON_UNKNOWN',
      suggestions: ['did you mean local-path-storage?'],
    })
    await expect(install('local-path-storage', {path: 'relative'})).rejects.toMatchObject({
      code: 'ADDON_PARAMETERS_INVALID',
    })
    expect(demo.fleet.changes).toHaveLength(changes)
    expect(demo.fleet.cluster.kube.changes).toHaveLength(objects)
    expect((await recordedOf(demo)).install).toEqual([])
  })
})

test('an addon that another one needs is not removed', async () => {
  await withDemo({workers: 1}, async (demo) => {
    await demo.init()
    await expect(removeAddon('demo', 'runtime-class', yes, demo.run().tools)).rejects.toMatchObject({
      code: 'ADDON_IN_USE',
      message: expect.stringContaining('addon checkpoint needs it') as string,
    })
    await expect(removeAddon('demo', 'metrics-server', yes, demo.run().tools)).rejects.toMatchObject({
      code: 'RELEASE_UNKNOWN',
    })
    expect((await rowsOf(demo)).get('runtime-class')).toHaveProperty('installed')
  })
})

test('a removed addon is gone, and no init brings it back; a declined question removes nothing', async () => {
  await withDemo({workers: 1}, async (demo) => {
    await demo.init()
    const no = () => Promise.reject(new AbortError('DECLINED', 'nothing was removed'))
    await expect(removeAddon('demo', 'checkpoint', no, demo.run().tools)).rejects.toThrow(
      'nothing was removed',
    )
    expect((await rowsOf(demo)).get('checkpoint')).toHaveProperty('installed')
    await removeAddon('demo', 'checkpoint', yes, demo.run().tools)
    const {kube} = demo.fleet.cluster
    expect(kube.peek('apps/v1', 'Deployment').map(({metadata}) => metadata.name)).not.toContain(
      'clouder-controller',
    )
    expect((await rowsOf(demo)).get('checkpoint')).not.toHaveProperty('installed')
    expect((await recordedOf(demo)).without).toEqual(['checkpoint'])
  })
})
