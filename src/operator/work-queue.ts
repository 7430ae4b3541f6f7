import {pauseQuietly} from '../base/waiting.ts'

export interface WorkQueueOptions {
  /** Keys at work at the same time; one key never twice. Default: as many as there are. */
  readonly concurrency?: number
  /** Pause after the first failure of a key; doubled by each further one, up to `mostMs`. Default: 1 s. */
  readonly firstMs?: number
  /** Default: a minute. */
  readonly mostMs?: number
  /** Does one piece of work; gives milliseconds after which to do it again, or undefined. */
  readonly work: (key: string) => Promise<number | undefined>
  /** Told of each failure, and after how long it is tried again. */
  readonly onError: (key: string, error: unknown, pauseMs: number) => void
}

const FIRST_MS = 1000
const MOST_MS = 60_000
const LONGEST_PAUSE_MS = 60_000

/**
 * Keys that are to be worked on, each when it is due: added twice it is done once; added while it is at work it is done
 * once more; what fails is tried again after longer and longer pauses, or at once when it is added meanwhile.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions
  readonly #dueAtMs = new Map<string, number>()
  readonly #atWork = new Map<string, Promise<void>>()
  readonly #failures = new Map<string, number>()
  #wake: (() => void) | undefined
  /** Those who wait until nothing is left to do. */
  #waiting: (() => void)[] = []
  #ended = false

  constructor(options: WorkQueueOptions) {
    this.#options = options
  }

  /** To be done in `afterMs`, or when it was due before, if that is sooner. */
  add(key: string, afterMs = 0): void {
    if (this.#ended) return
    const due = performance.now() + afterMs
    this.#dueAtMs.set(key, Math.min(due, this.#dueAtMs.get(key) ?? Number.POSITIVE_INFINITY))
    this.#wake?.()
  }

  /** Works until the signal is aborted, and waits then for what is at work. */
  async run(signal: AbortSignal): Promise<void> {
    const onAbort = (): void => this.#wake?.()
    signal.addEventListener('abort', onAbort)
    while (!signal.aborted) {
      this.#startDue()
      await this.#pause()
    }
    signal.removeEventListener('abort', onAbort)
    this.#ended = true
    this.#dueAtMs.clear()
    await Promise.all(this.#atWork.values())
    this.#reportWaiting()
  }

  /** Resolves when nothing is at work and nothing is due, now or later, or when the queue has ended. */
  async idle(): Promise<void> {
    while (this.#atWork.size > 0 || this.#dueAtMs.size > 0)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  #startDue(): void {
    const {concurrency = Number.POSITIVE_INFINITY} = this.#options
    const nowMs = performance.now()
    for (const [key, dueAtMs] of this.#dueAtMs) {
      if (this.#atWork.size >= concurrency) return
      if (dueAtMs > nowMs || this.#atWork.has(key)) continue
      this.#dueAtMs.delete(key)
      this.#atWork.set(key, this.#do(key))
    }
  }

  async #do(key: string): Promise<void> {
    const {work, onError, firstMs = FIRST_MS, mostMs = MOST_MS} = this.#options
    try {
      const requeueAfterMs = await work(key)
      this.#failures.delete(key)
      if (requeueAfterMs !== undefined) this.add(key, requeueAfterMs)
    } catch (error) {
      const failures = (this.#failures.get(key) ?? 0) + 1
      this.#failures.set(key, failures)
      const pauseMs = Math.min(mostMs, firstMs * 2 ** (failures - 1))
      onError(key, error, pauseMs)
      this.add(key, pauseMs)
    } finally {
      // In the same turn as the key is due again: one that is added between the two would be lost.
      this.#atWork.delete(key)
      this.#wake?.()
      this.#reportWaiting()
    }
  }

  #reportWaiting(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }

  /** Until something is due, added or done. */
  async #pause(): Promise<void> {
    const woken = new AbortController()
    const {concurrency = Number.POSITIVE_INFINITY} = this.#options
    const nextMs = Math.min(
      ...[...this.#dueAtMs].filter(([key]) => !this.#atWork.has(key)).map(([, due]) => due),
    )
    this.#wake = () => woken.abort()
    const full = this.#atWork.size >= concurrency
    const waitMs = full ? LONGEST_PAUSE_MS : Math.min(LONGEST_PAUSE_MS, nextMs - performance.now())
    if (waitMs > 0) await pauseQuietly(waitMs, woken.signal)
    this.#wake = undefined
  }
}
