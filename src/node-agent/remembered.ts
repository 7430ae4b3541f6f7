/** Gives what was read last as long as it is not older; what is being read is read once, and a failure is not kept. */
export function remembered<T>(
  read: () => Promise<T>,
  {maxAgeMs, now}: {readonly maxAgeMs: number; readonly now: () => number},
): () => Promise<T> {
  let kept: {readonly value: Promise<T>; readonly atMs: number} | undefined
  return () => {
    if (kept !== undefined && now() - kept.atMs < maxAgeMs) return kept.value
    const mine = {value: read(), atMs: now()}
    kept = mine
    mine.value.catch(() => {
      if (kept === mine) kept = undefined
    })
    return mine.value
  }
}
