import {pauseQuietly} from '../base/waiting.ts'

export interface WorkQueueOptions {
  /** Keys at work at the same time; one key never twice. */
  readonly concurrency: number
  /** Pause after the first failure of a key; doubled by each further one, up to `mostMs`. */
  readonly firstMs: number
  readonly mostMs: number
  /** Does one piece of work; gives milliseconds after which to do it again, or undefined. */
  readonly work: (key: string) => Promise<number | undefined>
  readonly onError: (key: string, error: unknown) => void
}

/** Keys that are to be worked on, each when it is due: added twice it is done once; what fails is tried again later. */
export class WorkQueue {
  readonly #options: WorkQueueOptions
  readonly #dueAtMs = new Map<string, number>()
  readonly #atWork = new Map<string, Promise<void>>()
  readonly #failures = new Map<string, number>()
  #wake: (() => void) | undefined

  constructor(options: WorkQueueOptions) {
    this.#options = options
  }

  /** To be done in `afterMs`, or when it was due before, if that is sooner. */
  add(key: string, afterMs = 0): void {
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
    await Promise.all(this.#atWork.values())
  }

  #startDue(): void {
    const nowMs = performance.now()
    for (const [key, dueAtMs] of this.#dueAtMs) {
      if (this.#atWork.size >= this.#options.concurrency) return
      if (dueAtMs > nowMs || this.#atWork.has(key)) continue
      this.#dueAtMs.delete(key)
      this.#atWork.set(key, this.#do(key))
    }
  }

  async #do(key: string): Promise<void> {
    const {work, onError, firstMs, mostMs} = this.#options
    try {
      const requeueAfterMs = await work(key)
      this.#failures.delete(key)
      if (requeueAfterMs !== undefined) this.add(key, requeueAfterMs)
    } catch (error) {
      const failures = (this.#failures.get(key) ?? 0) + 1
      this.#failures.set(key, failures)
      onError(key, error)
      this.add(key, Math.min(mostMs, firstMs * 2 ** (failures - 1)))
    } finally {
      this.#atWork.delete(key)
      this.#wake?.()
    }
  }

  /** Until something is due, added or done. */
  async #pause(): Promise<void> {
    const woken = new AbortController()
    const nextMs = Math.min(
      ...[...this.#dueAtMs].filter(([key]) => !this.#atWork.has(key)).map(([, due]) => due),
    )
    this.#wake = () => woken.abort()
    const full = this.#atWork.size >= this.#options.concurrency
    const waitMs = full ? 60_000 : Math.min(60_000, nextMs - performance.now())
    if (waitMs > 0) await pauseQuietly(waitMs, woken.signal)
    this.#wake = undefined
  }
}
