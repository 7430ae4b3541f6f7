/** The text of a value that may be absent. */
export const optional = <T>(value: T | undefined, text: (value: T) => string): string | undefined =>
  value === undefined ? undefined : text(value)

/** Names and what is known under them, in two columns; what is unknown is left out. */
export function facts(rows: readonly (readonly [string, string | undefined])[]): string {
  const told = rows.filter((row): row is readonly [string, string] => row[1] !== undefined)
  const width = Math.max(...told.map(([name]) => name.length))
  return told.map(([name, text]) => `${name.padEnd(width)}  ${text}`).join('\n')
}
