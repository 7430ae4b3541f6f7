import cliTruncate from 'cli-truncate'
import stringWidth from 'string-width'

/** One column: its heading and the text of a row. */
export interface Column<Row> {
  readonly title: string
  readonly text: (row: Row) => string | undefined
}

const gap = '  '

const pad = (text: string, width: number): string => text + ' '.repeat(Math.max(0, width - stringWidth(text)))

/** Takes what is too much from the widest columns, one character at a time. */
function fit(widths: readonly number[], columns: number | undefined): readonly number[] {
  const fitted = [...widths]
  if (columns === undefined) return fitted
  const available = columns - gap.length * (widths.length - 1)
  for (let total = fitted.reduce((a, b) => a + b, 0); total > available; total--) {
    const widest = Math.max(...fitted)
    if (widest <= 8) break
    fitted[fitted.indexOf(widest)] = widest - 1
  }
  return fitted
}

/** A table without borders. `columns`: width of the terminal; undefined: as wide as it gets. */
export function renderTable<Row>(
  table: readonly Column<Row>[],
  rows: readonly Row[],
  options: {columns?: number | undefined; heading?: (text: string) => string} = {},
): string {
  const cells = rows.map((row) => table.map(({text}) => (text(row) ?? '-').replaceAll(/\s*\n\s*/g, ' ')))
  const natural = table.map(({title}, at) =>
    Math.max(stringWidth(title), ...cells.map((row) => stringWidth(row[at] ?? ''))),
  )
  const widths = fit(natural, options.columns)
  const line = (texts: readonly string[]) =>
    texts
      .map((text, at) => pad(cliTruncate(text, widths[at] ?? 0), widths[at] ?? 0))
      .join(gap)
      .trimEnd()
  const heading = options.heading ?? ((text: string) => text)
  return [heading(line(table.map(({title}) => title.toUpperCase()))), ...cells.map(line)].join('\n')
}
