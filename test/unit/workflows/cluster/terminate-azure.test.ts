import {expect, test} from 'vitest'
import {TerraformError} from '../../../../src/terraform/errors.ts'
import {documentOf} from '../../../../src/spec/load.ts'
import type {ClusterRecord} from '../../../../src/store/types.ts'
import {destroyInCloud} from '../../../../src/workflows/cluster/terminate-cloud.ts'
import {FakeCloud, owned} from '../../../support/fake-cloud.ts'
import {specOf} from '../../../support/local-cluster.ts'
import {withDemo} from '../../../support/simulated-demo.ts'

const specWith = (deletionPolicy: 'delete' | 'retain') =>
  specOf('demo', {
    provider: {kind: 'azure', azure: {location: 'westeurope', deletionPolicy}},
    access: {adminCidrs: ['203.0.113.0/24']},
  })
const recordOf = (spec: ReturnType<typeof specWith>): ClusterRecord => ({
  version: 1,
  name: 'demo',
  createdAt: '2026-11-21T00:00:00Z',
  updatedAt: '2026-11-21T00:00:00Z',
  provider: 'azure',
  document: documentOf(spec),
  machines: [],
  joined: [],
})

/** A resource group with a balancer and a disk of controllers, a machine with its own disk, and storage. */
const groupOfDemo = () =>
  new FakeCloud(
    [
      owned('load-balancer', 'kubernetes'),
      owned('machine', 'cp-1', {madeBy: 'clouder'}),
      owned('volume', 'cp-1-os', {holdsData: false}),
      owned('volume', 'pvc-1'),
      owned('bucket', 'backups', {madeBy: 'clouder'}),
      owned('resource-group', 'clouder-demo', {madeBy: 'clouder'}),
    ],
    {kind: 'azure'},
  )

/** As Terraform does it: machines with their disks, then storage, then the group, where nothing else is left in it. */
function destroyOn(cloud: FakeCloud, keeps: boolean) {
  const tries: (readonly string[])[] = []
  const destroy = (): Promise<readonly string[]> => {
    tries.push(cloud.ids())
    for (const id of ['cp-1', 'cp-1-os']) cloud.drop(id)
    if (keeps) return Promise.resolve([])
    cloud.drop('backups')
    if (cloud.ids().length > 1)
      return Promise.reject(
        new TerraformError('TERRAFORM_FAILED', 'the resource group still contains resources'),
      )
    cloud.drop('clouder-demo')
    return Promise.resolve(['azurerm_resource_group.cluster'])
  }
  return {tries, destroy}
}

test('what controllers made goes before the resource group: balancers at first, disks once no machine holds them', () =>
  withDemo({provider: 'local', workers: 0}, async ({run}) => {
    const cloud = groupOfDemo()
    const {tries, destroy} = destroyOn(cloud, false)
    const spec = specWith('delete')
    const tools = {...run().tools, openCloud: () => Promise.resolve(cloud)}
    const removed = await destroyInCloud(recordOf(spec), spec, destroy, tools)
    expect(tries).toEqual([['cp-1', 'cp-1-os', 'pvc-1', 'backups', 'clouder-demo'], ['clouder-demo']])
    expect(removed).toEqual(['load-balancer kubernetes', 'volume pvc-1', 'azurerm_resource_group.cluster'])
    expect(cloud.ids()).toEqual([])
  }))

test('a run that was stopped after the machines were gone takes the disks before Terraform', () =>
  withDemo({provider: 'local', workers: 0}, async ({run}) => {
    const cloud = groupOfDemo()
    for (const id of ['cp-1', 'cp-1-os']) cloud.drop(id)
    const {tries, destroy} = destroyOn(cloud, false)
    const spec = specWith('delete')
    const tools = {...run().tools, openCloud: () => Promise.resolve(cloud)}
    await destroyInCloud(recordOf(spec), spec, destroy, tools)
    expect(tries).toEqual([['backups', 'clouder-demo']])
    expect(cloud.ids()).toEqual([])
  }))

test('with the policy to retain, data stays in its resource group, and is told by its ids', () =>
  withDemo({provider: 'local', workers: 0}, async ({run}) => {
    const cloud = groupOfDemo()
    const {destroy} = destroyOn(cloud, true)
    const spec = specWith('retain')
    const {tools, recorded} = run()
    await destroyInCloud(recordOf(spec), spec, destroy, {...tools, openCloud: () => Promise.resolve(cloud)})
    expect(cloud.ids()).toEqual(['pvc-1', 'backups', 'clouder-demo'])
    const told = recorded.of('note').map(({text}) => text)
    for (const id of cloud.ids()) expect(told.join('\n')).toContain(id)
  }))

test('a destroy that fails for another reason is not tried again', () =>
  withDemo({provider: 'local', workers: 0}, async ({run}) => {
    const cloud = new FakeCloud([owned('resource-group', 'clouder-demo', {madeBy: 'clouder'})], {
      kind: 'azure',
    })
    let tries = 0
    const destroy = () => {
      tries += 1
      return Promise.reject(new TerraformError('TERRAFORM_FAILED', 'something else'))
    }
    const spec = specWith('delete')
    const tools = {...run().tools, openCloud: () => Promise.resolve(cloud)}
    await expect(destroyInCloud(recordOf(spec), spec, destroy, tools)).rejects.toThrow('something else')
    expect(tries).toBe(1)
  }))
