/** What a process can hold at a path, and where that path can lie. */
export const HOLDS = ['open file', 'unlinked file', 'mapped file', 'FIFO', 'unix socket', 'lock'] as const
export type Hold = (typeof HOLDS)[number]

export const PLACES = [
  'root file system',
  'emptyDir',
  'emptyDir in memory',
  'ConfigMap',
  'Secret',
  'projected token',
  'claim',
  'hostPath',
  '/dev/shm',
] as const
export type Place = (typeof PLACES)[number]

/** `restored`: the process goes on with it elsewhere. `refused`: it runs on where it is. */
export type Outcome = 'restored' | 'refused'

const [YES, NO] = ['restored', 'refused'] as const
/** By place, in the order of HOLDS; null: a volume that is read-only has none. */
const OUTCOMES: Readonly<Record<Place, readonly (Outcome | null)[]>> = {
  'root file system': [YES, YES, YES, YES, YES, YES],
  emptyDir: [YES, YES, YES, YES, YES, YES],
  'emptyDir in memory': [YES, YES, YES, YES, YES, YES],
  ConfigMap: [NO, null, NO, null, null, NO],
  Secret: [NO, null, NO, null, null, NO],
  'projected token': [NO, null, NO, null, null, NO],
  claim: [YES, YES, YES, YES, YES, YES],
  hostPath: [NO, YES, NO, NO, NO, NO],
  '/dev/shm': [YES, YES, YES, YES, YES, YES],
}

export interface Cell {
  readonly hold: Hold
  readonly place: Place
  readonly outcome: Outcome
}

export const CELLS: readonly Cell[] = PLACES.flatMap((place) =>
  HOLDS.flatMap((hold, index): readonly Cell[] => {
    const outcome = OUTCOMES[place][index] ?? null
    return outcome === null ? [] : [{hold, place, outcome}]
  }),
)

/** The matrix as docs/checkpoint/limits.md has it. */
export function matrixTable(): string {
  const outcome = (place: Place, hold: Hold): string =>
    CELLS.find((cell) => cell.place === place && cell.hold === hold)?.outcome ?? ''
  const rows = [
    ['where', ...HOLDS],
    ...PLACES.map((place) => [place, ...HOLDS.map((hold) => outcome(place, hold))]),
  ]
  const widths = ['where', ...HOLDS].map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  )
  const [head = '', ...body] = rows.map(
    (row) => `| ${row.map((text, column) => text.padEnd(widths[column] ?? 0)).join(' | ')} |`,
  )
  return [head, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...body].join('\n')
}
