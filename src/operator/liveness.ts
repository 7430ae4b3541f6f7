/**
 * A watch that is well is sent a bookmark about once a minute, one that hears nothing or is refused begins again within two:
 * each gives a sign of life more often than this.
 */
const STUCK_MS = 5 * 60_000

/**
 * Whether the watches of a program are alive. A server that is away, or that refuses, is no problem here: the watch asks
 * again, and a new process could do no more. One that neither receives anything nor fails is stuck, which only a restart
 * cures.
 */
export class WatchLiveness {
  readonly #aliveAtMs = new Map<string, number>()
  readonly #nowMs: () => number

  /** `nowMs`: milliseconds of a clock that never goes back. */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs
  }

  /** The watch of a kind begins, begins again after a failure, or has received something. */
  alive(kind: string): void {
    this.#aliveAtMs.set(kind, this.#nowMs())
  }

  /** Why the process has to be started anew; undefined: it need not be. */
  problem(): string | undefined {
    const nowMs = this.#nowMs()
    const stuck = [...this.#aliveAtMs].filter(([, atMs]) => nowMs - atMs > STUCK_MS).map(([kind]) => kind)
    if (stuck.length === 0) return undefined
    return `no sign of life for more than ${STUCK_MS / 60_000} min from the watch of ${stuck.join(', ')}`
  }
}
