import type {CloudKind} from '../../infrastructure/clouds/cloud.ts'
import {type CostEstimate, estimate, sizesOf} from '../../infrastructure/cost/estimate.ts'
import {priceList} from '../../infrastructure/cost/prices.ts'
import {ConfigError, errorMessage} from '../../base/errors.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {Tools} from '../session/types.ts'

export interface CostResult extends CostEstimate {
  readonly cluster: string
  readonly provider: CloudKind
}

interface Place {
  readonly kind: CloudKind
  readonly region: string
  readonly profile: string | undefined
}

/** Where a cloud's prices for the spec are those of; undefined: its machines cost nothing, or nobody says the region. */
function placeOf({provider}: ClusterSpec): Place | undefined {
  const {kind, aws, azure} = provider
  if (kind === 'aws' && aws.region !== undefined) return {kind, region: aws.region, profile: aws.profile}
  if (kind === 'azure' && azure.location !== undefined)
    return {kind, region: azure.location, profile: undefined}
  return undefined
}

/** What a month costs, with prices as fresh as can be had. Throws ConfigError where nothing is paid for or no region is known. */
export async function costOf(
  spec: ClusterSpec,
  {prices, report, signal}: Pick<Tools, 'prices' | 'report' | 'signal'>,
): Promise<CostResult> {
  const place = placeOf(spec)
  if (place === undefined) throw noPrice(spec)
  const {kind, region} = place
  const fetched = await prices
    .fresh({...place, sizes: sizesOf(spec), signal})
    .catch(async (error: unknown) => {
      signal.throwIfAborted()
      const why = errorMessage(error)
      report({type: 'note', level: 'info', text: `prices are not current: ${why}`})
      return prices.known(kind, region)
    })
  return {cluster: spec.name, provider: kind, ...estimate(spec, priceList(kind, region, fetched))}
}

/** For a line in a plan: what is known without asking anybody; undefined: nothing is paid for. */
export async function knownCost(
  spec: ClusterSpec,
  {prices}: Pick<Tools, 'prices'>,
): Promise<CostEstimate | undefined> {
  const place = placeOf(spec)
  if (place === undefined) return undefined
  const {kind, region} = place
  return estimate(spec, priceList(kind, region, await prices.known(kind, region)))
}

function noPrice({name, provider}: ClusterSpec): ConfigError {
  const {kind} = provider
  if (kind !== 'aws' && kind !== 'azure')
    return new ConfigError(
      'FLAG_INVALID',
      `provider ${kind} has no prices: the cost of ${name} is that of its machines`,
    )
  const where = kind === 'aws' ? 'spec.provider.aws.region' : 'spec.provider.azure.location'
  return new ConfigError('FLAG_MISSING', `${where} of ${name} is not set, and prices depend on it`, {
    suggestions: [`set ${where} in the file`, 'or in the context: clouder ctx set NAME'],
  })
}
