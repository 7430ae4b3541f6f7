import {allNeedsOf, type Needs} from './graph.ts'

export type Outcome<T> =
  | {readonly kind: 'done'; readonly value: T}
  | {readonly kind: 'failed'; readonly error: unknown}
  /** It was not begun: `because` failed, which it needs. */
  | {readonly kind: 'skipped'; readonly because: string}

export interface RunGraphOptions {
  /** How many at the same time. */
  readonly concurrency: number
  /** Aborted: nothing further is begun, and what was not is told as failed with the signal's reason. */
  readonly signal: AbortSignal
}

/**
 * Works on each name as soon as all that it needs is done. Where one fails, only what needs it is skipped; the rest is
 * finished. Never throws what `work` throws. Without circles and missing needs only.
 */
export async function runGraph<T>(
  needs: Needs,
  work: (name: string) => Promise<T>,
  {concurrency, signal}: RunGraphOptions,
): Promise<ReadonlyMap<string, Outcome<T>>> {
  const outcomes = new Map<string, Outcome<T>>()
  const waiting = new Set(needs.keys())
  const running = new Map<string, Promise<void>>()
  const failureOf = (name: string): string | undefined =>
    [...allNeedsOf(name, needs)].toSorted().find((need) => outcomes.get(need)?.kind === 'failed')
  const begin = (name: string): void => {
    waiting.delete(name)
    const run = async (): Promise<void> => {
      try {
        outcomes.set(name, {kind: 'done', value: await work(name)})
      } catch (error) {
        outcomes.set(name, {kind: 'failed', error})
      }
      running.delete(name)
    }
    running.set(name, run())
  }
  for (;;) {
    for (const name of waiting) {
      const because = failureOf(name)
      if (because !== undefined) {
        waiting.delete(name)
        outcomes.set(name, {kind: 'skipped', because})
      } else if (signal.aborted) {
        waiting.delete(name)
        outcomes.set(name, {kind: 'failed', error: signal.reason})
      } else if (
        running.size < concurrency &&
        (needs.get(name) ?? []).every((need) => outcomes.get(need)?.kind === 'done')
      ) {
        begin(name)
      }
    }
    if (running.size === 0) return outcomes
    await Promise.race(running.values())
  }
}
