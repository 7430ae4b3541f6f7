import pLimit from 'p-limit'

/** Does `work` for every item, `limit` at once; after a failure none is begun any more, and all that began are awaited. */
export async function inParallel<T>(
  items: Iterable<T>,
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = []
  await pLimit(limit).map(items, async (item) => {
    if (failures.length > 0) return
    try {
      await work(item)
    } catch (error) {
      failures.push(error)
    }
  })
  if (failures.length > 0) throw failures[0]
}
