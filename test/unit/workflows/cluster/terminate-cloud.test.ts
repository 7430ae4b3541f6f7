import {expect, test} from 'vitest'
import type {CloudOptions} from '../../../../src/infrastructure/clouds/cloud.ts'
import {AbortError} from '../../../../src/base/errors.ts'
import {documentOf} from '../../../../src/spec/load.ts'
import type {ClusterRecord} from '../../../../src/store/types.ts'
import {
  clusterMade,
  destroyInCloud,
  terminateByTag,
} from '../../../../src/workflows/cluster/terminate-cloud.ts'
import {FakeCloud, owned} from '../../../support/fake-cloud.ts'
import {specOf} from '../../../support/local-cluster.ts'
import {withDemo} from '../../../support/simulated-demo.ts'

const place = {kind: 'aws', region: 'eu-central-1', profile: undefined, account: '123456789012'} as const
const spec = (aws: object = {}) =>
  specOf('demo', {
    provider: {kind: 'aws', aws: {region: place.region, account: place.account, ...aws}},
    access: {adminCidrs: ['203.0.113.0/24']},
  })
const record = (of = spec()): ClusterRecord => ({
  version: 1,
  name: 'demo',
  createdAt: '2026-11-21T00:00:00Z',
  updatedAt: '2026-11-21T00:00:00Z',
  provider: 'aws',
  document: documentOf(of),
  machines: [],
  joined: [],
})
const things = () => [
  owned('load-balancer', 'lb-1'),
  owned('machine', 'i-1', {madeBy: 'clouder'}),
  owned('volume', 'vol-1'),
]
const yes = () => Promise.resolve()

test('what controllers made goes before Terraform, what Terraform left after it', () =>
  withDemo({provider: 'local', workers: 0}, async ({run}) => {
    const cloud = new FakeCloud(things())
    const opened: CloudOptions[] = []
    const openCloud = (how: CloudOptions) => {
      opened.push(how)
      return Promise.resolve(cloud)
    }
    const seen: (readonly string[])[] = []
    const destroy = () => {
      seen.push(cloud.ids())
      cloud.drop('i-1')
      return Promise.resolve(['aws_instance.cp-1'])
    }
    const removed = await destroyInCloud(record(), spec(), destroy, {...run().tools, openCloud})
    expect(seen).toEqual([['i-1', 'vol-1']])
    expect(removed).toEqual(['load-balancer lb-1', 'aws_instance.cp-1', 'volume vol-1'])
    expect(cloud.ids()).toEqual([])
    // Credentials of another account would be refused here.
    expect(opened).toMatchObject([{kind: 'aws', account: '123456789012', region: 'eu-central-1'}])
  }))

test('a cluster that answers gives back what its controllers made; one that does not leaves it to the sweep', () =>
  withDemo({provider: 'byon', workers: 0}, async ({run, init, store, fleet}) => {
    await init()
    const made = await store.load('demo')
    if (made === undefined) throw new TypeError('no record')
    const ours: ClusterRecord = {...made, provider: 'aws', document: documentOf(spec())}
    const service = {apiVersion: 'v1', kind: 'Service', metadata: {namespace: 'default', name: 'web'}}
    fleet.cluster.kube.put({...service, spec: {type: 'LoadBalancer'}})
    const openCloud = () => Promise.resolve(new FakeCloud([]))
    const destroy = () => Promise.resolve(['aws_instance.cp-1'])
    const planned = await clusterMade(ours, spec(), {...run().tools, openCloud})
    expect(planned).toEqual(['Service default/web'])
    expect(fleet.cluster.kube.holds({...service, namespace: 'default', name: 'web'})).toBe(true)
    expect(await destroyInCloud(ours, spec(), destroy, {...run().tools, openCloud})).toEqual([
      'Service default/web',
      'aws_instance.cp-1',
    ])
    fleet.reach('cp-1', false)
    const {tools, recorded} = run()
    const removed = await destroyInCloud(ours, spec(), destroy, {...tools, openCloud})
    expect(removed).toEqual(['aws_instance.cp-1'])
    expect(
      recorded
        .of('note')
        .map(({text}) => text)
        .join(),
    ).toMatch(/API server of demo does not respond/)
  }))

test('what is left makes it fail, after everything else is gone', () =>
  withDemo({provider: 'local', workers: 0}, async ({run}) => {
    const cloud = new FakeCloud(things(), {refused: ['vol-1']})
    const tools = {...run().tools, openCloud: () => Promise.resolve(cloud)}
    const done = destroyInCloud(record(), spec(), () => Promise.resolve([]), tools)
    await expect(done).rejects.toMatchObject({code: 'LEFTOVERS', exitCode: 5})
    expect(cloud.ids()).toEqual(['vol-1'])
  }))

test('with the policy to retain, data stays and is told, and nothing fails', () =>
  withDemo({provider: 'local', workers: 0}, async ({run}) => {
    const kept = spec({deletionPolicy: 'retain'})
    const cloud = new FakeCloud(things())
    const {tools, recorded} = run()
    await destroyInCloud(record(kept), kept, () => Promise.resolve([]), {
      ...tools,
      openCloud: () => Promise.resolve(cloud),
    })
    expect(cloud.ids()).toEqual(['vol-1'])
    expect(recorded.of('note').map(({text}) => text)).toContain(
      'volume vol-1 in eu-central-1 is kept: it holds data',
    )
  }))

test('by tag everything goes without a record, once that was agreed to', () =>
  withDemo({provider: 'local', workers: 0}, async ({run}) => {
    const cloud = new FakeCloud(things())
    const tools = {...run().tools, openCloud: () => Promise.resolve(cloud)}
    const planned = await terminateByTag('demo', {...place, dryRun: true, confirm: yes}, tools)
    expect(planned.removed).toHaveLength(3)
    const no = () => Promise.reject(new AbortError('DECLINED', 'nothing was removed'))
    await expect(terminateByTag('demo', {...place, dryRun: false, confirm: no}, tools)).rejects.toMatchObject(
      {
        code: 'DECLINED',
      },
    )
    expect(cloud.asked).toEqual([])
    const {removed} = await terminateByTag('demo', {...place, dryRun: false, confirm: yes}, tools)
    expect(removed).toHaveLength(3)
    expect(cloud.ids()).toEqual([])
  }))

test('by tag a name that owns nothing is told, with the names that do', () =>
  withDemo({provider: 'local', workers: 0}, async ({run}) => {
    const {tools, recorded} = run()
    const openCloud = () => Promise.resolve(new FakeCloud([], {clusters: ['prod']}))
    const none = await terminateByTag('prd', {...place, dryRun: false, confirm: yes}, {...tools, openCloud})
    expect(none.removed).toEqual([])
    expect(recorded.of('note').map(({text}) => text)).toEqual([
      'nothing in eu-central-1 has the tag of prd, but of prod',
    ])
  }))

test('by tag the record of that cluster goes too, one of its name in another region stays', () =>
  withDemo({provider: 'local', workers: 0}, async ({run, store}) => {
    for (const [region, isLeft] of [
      ['us-east-1', true],
      ['eu-central-1', false],
    ] as const) {
      await store.update('demo', () => record(spec({region})))
      const tools = {...run().tools, openCloud: () => Promise.resolve(new FakeCloud(things()))}
      await terminateByTag('demo', {...place, dryRun: false, confirm: yes}, tools)
      expect((await store.load('demo')) !== undefined).toBe(isLeft)
    }
  }))
