/** Where a command writes, and what can be done there. */
export interface Terminal {
  /** Results. */
  readonly out: NodeJS.WriteStream
  /** Progress, questions, errors. */
  readonly err: NodeJS.WriteStream
  /** Whether somebody is there to answer a question. */
  readonly interactive: boolean
  /** Whether progress may be drawn over itself. */
  readonly draws: boolean
  readonly colours: boolean
  /** Width for tables; undefined: no limit. */
  readonly columns: number | undefined
}

/** `NO_COLOR`, `CI` and `TERM=dumb` mean plain lines, as does anything that is not a terminal. */
export function terminalOf(from: Pick<NodeJS.Process, 'stdout' | 'stderr' | 'stdin' | 'env'>): Terminal {
  const said = (name: string) => (from.env[name] ?? '') !== ''
  const plain = said('NO_COLOR') || said('CI') || from.env.TERM === 'dumb'
  return {
    out: from.stdout,
    err: from.stderr,
    interactive: from.stdin.isTTY && from.stderr.isTTY,
    draws: !plain && from.stdout.isTTY && from.stderr.isTTY,
    colours: !plain && from.stdout.isTTY && from.stderr.isTTY,
    columns: from.stdout.isTTY ? from.stdout.columns : undefined,
  }
}

/** Styles that do nothing where colours are off. */
export function palette(colours: boolean) {
  const style = (open: number, close: number) => (text: string) =>
    colours ? `\u001b[${open}m${text}\u001b[${close}m` : text
  return {
    bold: style(1, 22),
    dim: style(2, 22),
    red: style(31, 39),
    green: style(32, 39),
    yellow: style(33, 39),
    cyan: style(36, 39),
  }
}
export type Palette = ReturnType<typeof palette>
