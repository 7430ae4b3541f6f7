/** Does `work` for every item, `limit` at once; after a failure none is begun any more, and all that began are awaited. */
export async function inParallel<T>(
  items: Iterable<T>,
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = []
  const open = [...items].values()
  const worker = async (): Promise<void> => {
    for (const item of open) {
      if (failures.length > 0) return
      await work(item).catch((error: unknown) => {
        failures.push(error)
      })
    }
  }
  await Promise.all(Array.from({length: limit}, worker))
  if (failures.length > 0) throw failures[0]
}
