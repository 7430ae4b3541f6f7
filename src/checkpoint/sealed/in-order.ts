/**
 * Works on up to `ahead` items at once and gives the results in order. When one fails, or the caller takes no more,
 * the signal that the others got is aborted and they are awaited.
 */
export async function* inOrder<Item, Result>(
  items: AsyncIterable<Item> | Iterable<Item>,
  ahead: number,
  signal: AbortSignal,
  work: (item: Item, signal: AbortSignal) => Promise<Result>,
): AsyncGenerator<Result> {
  const stop = new AbortController()
  const either = AbortSignal.any([signal, stop.signal])
  const running: Promise<Result>[] = []
  try {
    for await (const item of items) {
      signal.throwIfAborted()
      const result = work(item, either)
      // It is awaited below; until then a failure must not count as unhandled.
      result.catch(() => undefined)
      running.push(result)
      const head = running.length >= ahead ? running.shift() : undefined
      if (head !== undefined) yield await head
    }
    for (let head = running.shift(); head !== undefined; head = running.shift()) yield await head
  } finally {
    stop.abort()
    await Promise.allSettled(running)
  }
}
