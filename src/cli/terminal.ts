import {styleText} from 'node:util'

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
  // The terminal was asked before: what styleText would find out of the environment does not count.
  const style = (name: Parameters<typeof styleText>[0]) => (text: string) =>
    colours ? styleText(name, text, {validateStream: false}) : text
  return {
    bold: style('bold'),
    dim: style('dim'),
    red: style('red'),
    green: style('green'),
    yellow: style('yellow'),
    cyan: style('cyan'),
  }
}
export type Palette = ReturnType<typeof palette>
