import {expect, test} from 'vitest'
import {InfrastructureError} from '../../../../src/infrastructure/errors.ts'
import {type SweepOptions, sweep, throwLeftovers} from '../../../../src/workflows/cluster/sweep.ts'
import {FakeCloud, owned} from '../../../support/fake-cloud.ts'
import {recordingReport} from '../../../support/recording-report.ts'

const run = (cloud: FakeCloud, options: Partial<SweepOptions> = {}) =>
  sweep(
    {cluster: 'demo', cloud, scope: 'all', keepData: false, timeoutMs: 200, intervalMs: 1, ...options},
    {report: recordingReport().report, signal: new AbortController().signal, now: () => 0},
  )

test('everything goes, what hangs on something else in a later look', async () => {
  const things = [owned('security-group', 'sg-1'), owned('load-balancer', 'lb-1'), owned('network', 'vpc-1')]
  const cloud = new FakeCloud(things, {heldBy: {'sg-1': 'lb-1', 'vpc-1': 'sg-1'}})
  const result = await run(cloud)
  expect(cloud.ids()).toEqual([])
  expect(result.removed).toEqual(['security-group sg-1', 'load-balancer lb-1', 'network vpc-1'])
  expect(result.left).toEqual([])
})

test('before Terraform only what controllers made goes, and no disk while a machine may hold it', async () => {
  const things = [
    owned('load-balancer', 'lb-1'),
    owned('machine', 'i-1', {madeBy: 'clouder'}),
    owned('volume', 'vol-1'),
    owned('volume', 'os-1', {holdsData: false}),
    owned('network', 'vpc-1', {madeBy: 'clouder'}),
  ]
  const cloud = new FakeCloud(things)
  const result = await run(cloud, {scope: 'controllers'})
  expect(cloud.asked).toEqual(['lb-1'])
  expect(result).toMatchObject({removed: ['load-balancer lb-1'], left: []})
  cloud.drop('i-1')
  expect((await run(cloud, {scope: 'controllers', keepData: true})).removed).toEqual(['volume os-1'])
  expect((await run(cloud, {scope: 'controllers'})).removed).toEqual(['volume vol-1'])
  expect(cloud.ids()).toEqual(['vpc-1'])
})

test('data is kept where that is the policy, and so is the resource group that it lies in', async () => {
  const things = [
    owned('volume', 'vol-1', {sizeGiB: 100, type: 'gp3'}),
    owned('machine', 'i-1'),
    owned('resource-group', 'rg-1'),
  ]
  const cloud = new FakeCloud(things)
  const result = await run(cloud, {keepData: true})
  expect(cloud.ids()).toEqual(['vol-1', 'rg-1'])
  expect(cloud.asked).toEqual(['i-1'])
  expect(result.left).toEqual([])
  expect(result.kept.map(({id}) => id)).toEqual(['vol-1', 'rg-1'])
  // 100 GiB of gp3 at 0.08 USD, in a region that is a fifth dearer.
  expect(result.kept[0]?.monthlyUsd).toBeCloseTo(9.6)
})

test('what nobody may remove stops nothing else, and is told at once with why and what it costs', async () => {
  const cloud = new FakeCloud([owned('address', 'eip-1'), owned('load-balancer', 'lb-1')], {
    refused: ['eip-1'],
  })
  const result = await run(cloud, {timeoutMs: 60_000})
  expect(cloud.ids()).toEqual(['eip-1'])
  expect(result.left).toMatchObject([{id: 'eip-1', why: 'the permission to remove eip-1 is missing'}])
  expect(() => throwLeftovers('demo', result.left)).toThrow(
    /^1 item of demo is left, about 4\.38 USD a month:\n {2}address eip-1 in eu-central-1 \(about 4\.38 USD a month\): the permission/,
  )
})

test('what does not go away in time is left', async () => {
  const cloud = new FakeCloud([owned('network', 'vpc-1')], {sticky: ['vpc-1']})
  const result = await run(cloud, {timeoutMs: 20})
  expect(result.left).toMatchObject([{id: 'vpc-1', monthlyUsd: 0}])
  expect(result.removed).toEqual([])
})

test('an interrupted sweep ends as interrupted', async () => {
  const cloud = new FakeCloud([owned('network', 'vpc-1')], {sticky: ['vpc-1']})
  const signal = AbortSignal.abort(new Error('stopped'))
  const swept = sweep(
    {cluster: 'demo', cloud, scope: 'all', keepData: false},
    {report: recordingReport().report, signal, now: () => 0},
  )
  await expect(swept).rejects.toThrow('stopped')
})

/** A cloud that does not answer the given looks, counted from 1. */
class AwayCloud extends FakeCloud {
  looks = 0
  readonly isAway: (look: number) => boolean

  constructor(things: ConstructorParameters<typeof FakeCloud>[0], isAway: (look: number) => boolean) {
    super(things)
    this.isAway = isAway
  }

  override findOwned(): ReturnType<FakeCloud['findOwned']> {
    this.looks += 1
    return this.isAway(this.looks)
      ? Promise.reject(
          new InfrastructureError('CLOUD_UNREACHABLE', 'AWS did not respond to ec2:DescribeVpcs'),
        )
      : super.findOwned()
  }
}

test('a cloud that does not answer one look does not end a sweep', async () => {
  const cloud = new AwayCloud([owned('network', 'vpc-1')], (look) => look === 1 || look === 3)
  const result = await run(cloud, {timeoutMs: 5_000})
  expect(result.removed).toEqual(['network vpc-1'])
  expect(result.left).toEqual([])
})

test('a cloud that answers no more is told as that, and nothing as gone', async () => {
  const cloud = new AwayCloud([owned('network', 'vpc-1')], () => true)
  await expect(run(cloud, {timeoutMs: 20})).rejects.toMatchObject({code: 'CLOUD_UNREACHABLE'})
})
