/** Tells one event: a sentence and its facts, which never hold a secret. */
export type Log = (
  level: 'info' | 'warn' | 'error',
  message: string,
  facts?: Readonly<Record<string, unknown>>,
) => void

/** One line of JSON per event. */
export function jsonLog(
  write: (line: string) => void,
  now: () => number,
  always: Readonly<Record<string, unknown>>,
): Log {
  return (level, message, facts = {}) =>
    write(`${JSON.stringify({time: new Date(now()).toISOString(), level, message, ...always, ...facts})}\n`)
}
