import {GetProductsCommand} from '@aws-sdk/client-pricing'
import {z} from 'zod'
import {InfrastructureError} from '../errors.ts'
import {call, openApi} from './aws/api.ts'
import type {CloudKind} from './cloud.ts'

export interface PriceQuestion {
  readonly kind: CloudKind
  readonly region: string
  readonly sizes: readonly string[]
  /** Profile of the AWS configuration. */
  readonly profile?: string | undefined
  readonly signal: AbortSignal
}

/**
 * US dollars an hour on demand, by size, as the cloud tells them now; sizes it does not know are left out.
 * AWS wants credentials, with the permission pricing:GetProducts; Azure wants none. Throws InfrastructureError.
 */
export async function fetchPrices(
  question: PriceQuestion,
  get: typeof fetch = fetch,
): Promise<Readonly<Record<string, number>>> {
  const found: Record<string, number> = {}
  const api =
    question.kind === 'aws' ? await openApi({region: question.region, profile: question.profile}) : undefined
  for (const size of question.sizes) {
    const price =
      api === undefined
        ? await azurePrice(question.region, size, question.signal, get)
        : await awsPrice(api, size, question.signal)
    if (price !== undefined) found[size] = price
  }
  return found
}

const productSchema = z.looseObject({
  terms: z.looseObject({
    OnDemand: z.record(
      z.string(),
      z.looseObject({
        priceDimensions: z.record(
          z.string(),
          z.looseObject({unit: z.string(), pricePerUnit: z.looseObject({USD: z.string().optional()})}),
        ),
      }),
    ),
  }),
})

/** https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-price-list-query-api.html */
async function awsPrice(
  api: Awaited<ReturnType<typeof openApi>>,
  size: string,
  signal: AbortSignal,
): Promise<number | undefined> {
  const facts = {
    regionCode: api.region,
    instanceType: size,
    operatingSystem: 'Linux',
    tenancy: 'Shared',
    preInstalledSw: 'NA',
    capacitystatus: 'Used',
  }
  const answer = await call('pricing:GetProducts', signal, (options) =>
    api.pricing.send(
      new GetProductsCommand({
        ServiceCode: 'AmazonEC2',
        Filters: Object.entries(facts).map(([Field, Value]) => ({Type: 'TERM_MATCH', Field, Value})),
      }),
      options,
    ),
  )
  return priceOfProducts(z.array(z.coerce.string()).parse(answer.PriceList ?? []))
}

/** The price on demand of the first product that has one an hour, from products as JSON. */
export function priceOfProducts(products: readonly string[]): number | undefined {
  for (const text of products) {
    const product = productSchema.safeParse(parseJson(text))
    const terms = product.success ? Object.values(product.data.terms.OnDemand) : []
    for (const {unit, pricePerUnit} of terms.flatMap((term) => Object.values(term.priceDimensions))) {
      const price = Number(pricePerUnit.USD ?? Number.NaN)
      if (unit === 'Hrs' && price > 0) return price
    }
  }
  return undefined
}

const retailSchema = z.looseObject({
  Items: z.array(
    z.looseObject({
      retailPrice: z.number(),
      unitOfMeasure: z.string(),
      productName: z.string(),
      skuName: z.string(),
      armSkuName: z.string(),
    }),
  ),
})

/** https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices */
async function azurePrice(
  location: string,
  size: string,
  signal: AbortSignal,
  get: typeof fetch,
): Promise<number | undefined> {
  const facts = {
    serviceName: 'Virtual Machines',
    armRegionName: location,
    armSkuName: size,
    priceType: 'Consumption',
  }
  const filter = Object.entries(facts)
    .map(([name, value]) => `${name} eq '${value}'`)
    .join(' and ')
  const url = `https://prices.azure.com/api/retail/prices?$filter=${encodeURIComponent(filter)}`
  return priceOfRetail(await textOf(url, signal, get))
}

/** The price on demand for Linux, from an answer of the retail prices API. */
export function priceOfRetail(text: string): number | undefined {
  const answer = retailSchema.safeParse(parseJson(text))
  if (!answer.success) return undefined
  return answer.data.Items.find(
    ({productName, skuName, unitOfMeasure}) =>
      !productName.includes('Windows') && !/Spot|Low Priority/.test(skuName) && unitOfMeasure === '1 Hour',
  )?.retailPrice
}

async function textOf(url: string, signal: AbortSignal, get: typeof fetch): Promise<string> {
  try {
    const answer = await get(url, {signal})
    if (answer.ok) return await answer.text()
    throw new InfrastructureError('CLOUD_FAILED', `Azure did not return prices: HTTP status ${answer.status}`)
  } catch (cause) {
    signal.throwIfAborted()
    if (cause instanceof InfrastructureError) throw cause
    throw new InfrastructureError('CLOUD_UNREACHABLE', 'cannot reach the price list of Azure', {cause})
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
