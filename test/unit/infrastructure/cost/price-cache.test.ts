import {writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {
  fetchPrices,
  priceOfProducts,
  priceOfRetail,
} from '../../../../src/infrastructure/clouds/fetch-prices.ts'
import {diskPrices} from '../../../../src/infrastructure/cost/price-cache.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const {signal} = new AbortController()
const question = {kind: 'aws', region: 'eu-central-1', sizes: ['t3.large'], signal} as const
const DAY_MS = 24 * 60 * 60_000

test('prices are asked for once a week, and whenever a size is new', () =>
  withTempFolder(async (dir) => {
    let nowMs = Date.parse('2026-11-21T10:00:00Z')
    const asked: string[] = []
    const prices = diskPrices({
      dir,
      now: () => nowMs,
      fetchPrices: ({sizes}) => {
        asked.push(sizes.join())
        return Promise.resolve(Object.fromEntries(sizes.map((size) => [size, asked.length])))
      },
    })
    expect(await prices.known('aws', 'eu-central-1')).toBeUndefined()
    expect((await prices.fresh(question)).hourly).toEqual({'t3.large': 1})
    expect((await prices.fresh(question)).hourly).toEqual({'t3.large': 1})
    expect((await prices.fresh({...question, sizes: ['t3.large', 'm5.large']})).hourly).toEqual({
      't3.large': 2,
      'm5.large': 2,
    })
    nowMs += 8 * DAY_MS
    expect((await prices.fresh(question)).date).toBe('2026-11-29T10:00:00.000Z')
    expect(asked).toEqual(['t3.large', 't3.large,m5.large', 't3.large'])
    expect(await prices.known('aws', 'us-east-1')).toBeUndefined()
  }))

test('a cache that is damaged is as good as none', () =>
  withTempFolder(async (dir) => {
    const prices = diskPrices({dir, now: () => 0, fetchPrices: () => Promise.resolve({'t3.large': 1})})
    await prices.fresh(question)
    for (const text of ['{', '{"date": 1}']) {
      await writeFile(join(dir, 'prices/aws-eu-central-1.json'), text)
      expect(await prices.known('aws', 'eu-central-1')).toBeUndefined()
    }
  }))

test('of the products of AWS the price on demand by the hour counts', () => {
  const product = (unit: string, usd: string) =>
    JSON.stringify({
      terms: {OnDemand: {a: {priceDimensions: {b: {unit, pricePerUnit: {USD: usd}}}}}},
    })
  expect(priceOfProducts([product('Quantity', '9'), product('Hrs', '0.0'), product('Hrs', '0.096')])).toBe(
    0.096,
  )
  expect(priceOfProducts(['nonsense', '{}'])).toBeUndefined()
})

const item = (more: object) => ({
  retailPrice: 1,
  unitOfMeasure: '1 Hour',
  productName: 'Dsv5 Series',
  skuName: 'D2s v5',
  armSkuName: 'Standard_D2s_v5',
  ...more,
})

test('of the prices of Azure those of Windows and of spot machines do not count', () => {
  const Items = [
    item({productName: 'Dsv5 Series Windows'}),
    item({skuName: 'D2s v5 Spot'}),
    item({skuName: 'D2s v5 Low Priority'}),
    item({retailPrice: 0.115}),
  ]
  expect(priceOfRetail(JSON.stringify({Items}))).toBe(0.115)
  expect(priceOfRetail('<html>')).toBeUndefined()
})

test('Azure is asked for each size in its location, without credentials', async () => {
  const urls: string[] = []
  const get = (url: string | URL | Request): Promise<Response> => {
    urls.push(decodeURIComponent(url instanceof Request ? url.url : String(url)))
    return Promise.resolve(Response.json({Items: [item({retailPrice: 0.2})]}))
  }
  const asked = {kind: 'azure', region: 'westeurope', sizes: ['Standard_D2s_v5'], signal} as const
  expect(await fetchPrices(asked, get)).toEqual({Standard_D2s_v5: 0.2})
  expect(urls).toHaveLength(1)
  expect(urls[0]).toContain("armRegionName eq 'westeurope' and armSkuName eq 'Standard_D2s_v5'")
  const down = () => Promise.reject(new TypeError('fetch failed'))
  await expect(fetchPrices(asked, down)).rejects.toMatchObject({code: 'CLOUD_UNREACHABLE'})
})
