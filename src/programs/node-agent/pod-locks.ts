/** Work with pods, one piece at a time for each: one owner of locks for each node, as its processes are there once. */
export class PodLocks {
  readonly #last = new Map<string, Promise<unknown>>()

  /** Begins when what was begun before with the same pod has ended, unless the signal is aborted by then. */
  async during<T>(podUid: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(podUid) ?? Promise.resolve()
    const turn = before.then(() => {
      signal.throwIfAborted()
      return work()
    })
    const ended = turn.catch(() => undefined)
    this.#last.set(podUid, ended)
    try {
      return await turn
    } finally {
      if (this.#last.get(podUid) === ended) this.#last.delete(podUid)
    }
  }
}
