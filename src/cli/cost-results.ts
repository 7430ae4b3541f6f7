import {type CostEstimate, type CostLine, NOT_COUNTED, usdText} from '../infrastructure/cost/estimate.ts'
import type {CostResult} from '../workflows/cost/cost.ts'
import type {ResultOptions} from './result-options.ts'
import {renderTable} from './table.ts'

export function costText(cost: CostResult, {colours, columns}: ResultOptions): string {
  const table = renderTable<CostLine>(
    [
      {title: 'what', text: ({what}) => what},
      {
        title: 'USD a month',
        text: ({monthlyUsd}) => (monthlyUsd === undefined ? '?' : monthlyUsd.toFixed(2)),
      },
    ],
    cost.lines,
    {columns, heading: colours.bold},
  )
  const head = colours.bold(`${cost.cluster}: ${costLine(cost)}`)
  return [head, table, `An estimate, ${NOT_COUNTED}.`].join('\n\n')
}

/** `about 123 USD a month in eu-central-1, by prices of 2025-06-30`, for plans. */
export function costLine({monthlyUsd, unknown, region, pricesOf}: CostEstimate): string {
  const besides =
    unknown.length === 0 ? '' : `, besides ${unknown.join(' and ')}, the price of which is not known`
  return `${usdText(monthlyUsd)} in ${region}, with prices of ${pricesOf}${besides}`
}
