import {expect, test} from 'vitest'
import {estimate, monthlyOf, sizesOf, usdText} from '../../../../src/infrastructure/cost/estimate.ts'
import {priceList, SHIPPED_DATE} from '../../../../src/infrastructure/cost/prices.ts'
import {loadSpec} from '../../../../src/spec/load.ts'
import {owned} from '../../../support/fake-cloud.ts'

const spec = (kind: 'aws' | 'azure', settings: object = {}, rest: object = {}) =>
  loadSpec({
    text: JSON.stringify({
      apiVersion: 'clouder.dev/v1alpha1',
      kind: 'Cluster',
      metadata: {name: 'demo'},
      spec: {provider: {kind, [kind]: settings}, access: {adminCidrs: ['192.0.2.0/24']}, ...rest},
    }),
  })

const AWS_HOURS = 730

test('a cluster on AWS is machines, disks, and what stands around them', () => {
  const prices = priceList('aws', 'us-east-1')
  const {lines, monthlyUsd, unknown, pricesOf} = estimate(spec('aws', {region: 'us-east-1'}), prices)
  const byName = Object.fromEntries(lines.map(({what, monthlyUsd: price}) => [what, price]))
  expect(byName['1 × t3.medium, control plane']).toBeCloseTo(0.0416 * AWS_HOURS)
  expect(byName['2 × t3.large, worker']).toBeCloseTo(2 * 0.0832 * AWS_HOURS)
  expect(byName['150 GiB of disks']).toBeCloseTo(150 * 0.08)
  expect(byName['1 × NAT gateway']).toBeCloseTo(0.045 * AWS_HOURS)
  expect(byName['load balancer of the API']).toBeCloseTo(0.0225 * AWS_HOURS)
  expect(monthlyUsd).toBeCloseTo(lines.reduce((sum, {monthlyUsd: price}) => sum + (price ?? 0), 0))
  expect(unknown).toEqual([])
  expect(pricesOf).toBe(SHIPPED_DATE)
})

test('nodes with public addresses need no NAT gateway, and pay for their addresses', () => {
  const {lines} = estimate(spec('aws', {network: {mode: 'public'}}), priceList('aws', 'us-east-1'))
  const names = lines.map(({what}) => what)
  expect(names).toContain('4 × public address')
  expect(names.join()).not.toMatch(/NAT|jump host/)
})

test('a size without a known price is named, and the rest is counted', () => {
  const {unknown, monthlyUsd} = estimate(
    spec('aws', {}, {workers: [{size: 'u9.huge', count: 1}]}),
    priceList('aws', 'eu-central-1'),
  )
  expect(unknown).toEqual(['1 × u9.huge, worker'])
  expect(monthlyUsd).toBeGreaterThan(0)
})

test('prices that the cloud told count more than those that ship', () => {
  const fetched = {date: '2026-11-20T10:00:00.000Z', hourly: {'t3.large': 0.5}}
  const prices = priceList('aws', 'eu-central-1', fetched)
  expect(prices.machine('t3.large')).toBe(0.5)
  expect(prices.machine('t3.medium')).toBeCloseTo(0.0416 * 1.2)
  expect(prices.date).toBe('2026-11-20')
})

test('sizes grow with their families on both clouds', () => {
  const aws = priceList('aws', 'us-east-1')
  expect(aws.machine('m6i.4xlarge')).toBeCloseTo(8 * 0.096)
  expect(aws.machine('t3.small')).toBeCloseTo(0.0208)
  expect(aws.machine('g5.xlarge')).toBe(1.006)
  const azure = priceList('azure', 'eastus')
  expect(azure.machine('Standard_D8s_v5')).toBeCloseTo(0.384)
  expect(azure.machine('Standard_NC4as_T4_v3')).toBeCloseTo(0.526)
  expect(azure.machine('Basic_A0')).toBeUndefined()
})

test('Azure has one NAT gateway whatever the zones, AWS one in each', () => {
  const of = (kind: 'aws' | 'azure', zones: readonly string[]) =>
    estimate(spec(kind, {zones}), priceList(kind, 'x'))
      .lines.map(({what}) => what)
      .find((what) => what.includes('NAT'))
  expect(of('aws', ['a', 'b', 'c'])).toBe('3 × NAT gateway')
  expect(of('azure', ['1', '2', '3'])).toBe('1 × NAT gateway')
})

test('every size that an estimate prices is asked for', () => {
  expect(sizesOf(spec('aws', {}, {workers: [{size: 'm6i.large', count: 3}]}))).toEqual([
    't3.medium',
    'm6i.large',
    't3.nano',
  ])
})

test('what is left behind has its price, is free, or is not known', () => {
  const prices = priceList('aws', 'us-east-1')
  expect(monthlyOf(owned('volume', 'vol-1', {sizeGiB: 20, type: 'gp3'}), prices)).toBeCloseTo(1.6)
  expect(monthlyOf(owned('load-balancer', 'a', {type: 'classic'}), prices)).toBeCloseTo(0.025 * AWS_HOURS)
  expect(monthlyOf(owned('security-group', 'sg-1'), prices)).toBe(0)
  expect(monthlyOf(owned('bucket', 'b'), prices)).toBeUndefined()
  expect([0, 1.234, 123.4, undefined].map(usdText)).toEqual([
    'free',
    'about 1.23 USD a month',
    'about 123 USD a month',
    'price not known',
  ])
})
