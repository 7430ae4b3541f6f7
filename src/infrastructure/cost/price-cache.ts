import {join} from 'node:path'
import {z} from 'zod'
import type {PriceQuestion} from '../clouds/fetch-prices.ts'
import type {CloudKind} from '../clouds/cloud.ts'
import {readIfThere, writeAtomically} from '../../base/files.ts'
import type {FetchedPrices} from './prices.ts'

const fetchedSchema = z.strictObject({
  date: z.iso.datetime(),
  hourly: z.record(z.string(), z.number().positive()),
})

const LIFE_MS = 7 * 24 * 60 * 60_000
const TIMEOUT_MS = 10_000

/** Prices of machines that the clouds told, kept in the cache. */
export interface PriceCache {
  /** What was told before; undefined: nothing. Asks nobody. */
  known(kind: CloudKind, region: string): Promise<FetchedPrices | undefined>
  /** The same, asked anew where it is older than a week or lacks one of the sizes. Throws what asking threw. */
  fresh(question: PriceQuestion): Promise<FetchedPrices>
}

export function diskPrices(options: {
  /** The cache of clouder. */
  readonly dir: string
  /** Milliseconds since the epoch. */
  readonly now: () => number
  readonly fetchPrices: (question: PriceQuestion) => Promise<FetchedPrices['hourly']>
}): PriceCache {
  const pathOf = (kind: CloudKind, region: string): string =>
    join(options.dir, 'prices', `${kind}-${region.replaceAll(/[^a-z0-9-]/gi, '')}.json`)
  const known = async (kind: CloudKind, region: string): Promise<FetchedPrices | undefined> => {
    const text = await readIfThere(pathOf(kind, region))
    return text === undefined ? undefined : parsed(text)
  }
  return {
    known,
    fresh: async (question) => {
      const {kind, region, sizes, signal} = question
      const before = await known(kind, region)
      const isFresh = before !== undefined && options.now() - Date.parse(before.date) < LIFE_MS
      if (isFresh && sizes.every((size) => before.hourly[size] !== undefined)) return before
      const limited = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)])
      const told = await options.fetchPrices({...question, signal: limited})
      // Prices of another day are not mixed with those of today.
      const prices = {
        date: new Date(options.now()).toISOString(),
        hourly: isFresh ? {...before.hourly, ...told} : told,
      }
      await writeAtomically(pathOf(kind, region), `${JSON.stringify(prices)}\n`)
      return prices
    },
  }
}

/** A file that is not what was written is as good as none. */
function parsed(text: string): FetchedPrices | undefined {
  try {
    return fetchedSchema.safeParse(JSON.parse(text)).data
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
