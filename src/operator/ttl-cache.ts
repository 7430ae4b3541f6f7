export interface Remembered<T> {
  /** What was read last, as long as it is not older. */
  readonly value: () => Promise<T>
  /** Reads it anew. */
  readonly renew: () => Promise<T>
}

/** Gives what was read last as long as it is not older; what is being read is read once, and a failure is not kept. */
export function remembered<T>(
  read: () => Promise<T>,
  {maxAgeMs, now}: {readonly maxAgeMs: number; readonly now: () => number},
): Remembered<T> {
  let kept: {readonly value: T; readonly atMs: number} | undefined
  let reading: Promise<T> | undefined
  const readNow = async (): Promise<T> => {
    const atMs = now()
    const value = await read()
    kept = {value, atMs}
    return value
  }
  const renew = (): Promise<T> => (reading ??= readNow().finally(() => (reading = undefined)))
  return {
    value: () => (kept !== undefined && now() - kept.atMs < maxAgeMs ? Promise.resolve(kept.value) : renew()),
    renew,
  }
}
