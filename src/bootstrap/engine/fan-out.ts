import pLimit from 'p-limit'
import {interruption, toError} from './failures.ts'

export type Outcome<Item, Value> =
  {readonly item: Item; readonly value: Value} | {readonly item: Item; readonly error: Error}

/**
 * Works on at most `concurrency` items at a time and gathers every outcome, in the order of the items; never rejects.
 * Once the signal is aborted nothing new starts: what had not begun gets AbortError INTERRUPTED, what runs is awaited.
 */
export async function fanOut<Item, Value>(
  items: readonly Item[],
  concurrency: number,
  work: (item: Item, signal: AbortSignal) => Promise<Value>,
  signal: AbortSignal,
): Promise<readonly Outcome<Item, Value>[]> {
  const limit = pLimit(concurrency)
  const workOn = async (item: Item): Promise<Outcome<Item, Value>> => {
    if (signal.aborted) return {item, error: interruption(signal)}
    try {
      return {item, value: await work(item, signal)}
    } catch (thrown) {
      return {item, error: toError(thrown)}
    }
  }
  return await Promise.all(items.map((item) => limit(workOn, item)))
}
