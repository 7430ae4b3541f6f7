import {CheckpointError} from '../errors.ts'

/** Rounds of pre-copy before a dump, at most: folders of the images have names of one digit. */
export const MOST_ROUNDS = 9
const ROUND = /^pre-([1-9])$/

/**
 * Name of the folder of a round, in the folder of the images of the dump that follows: `checkpoint/pre-1/pages-1.img`.
 * Each has only the pages that were written since the round before.
 */
export const roundName = (round: number): string => `pre-${round}`

/** CRIU finds the images of the round before by a link of this name in the folder of its images. */
export const PARENT_LINK = 'parent'

/**
 * How many rounds there are, from the names in the folder of the images of a dump. Throws CheckpointError BLOB_TAMPERED
 * when one is missing.
 */
export function roundsIn(names: readonly string[]): number {
  const found = names.flatMap((name) => ROUND.exec(name)?.[1] ?? []).map(Number)
  const rounds = Math.max(0, ...found)
  if (found.length === rounds) return rounds
  throw new CheckpointError(
    'BLOB_TAMPERED',
    `a round of pre-copy is missing: the dump has ${found.toSorted().map(roundName).join(', ')}`,
  )
}

/** The links by which CRIU finds the rounds, below the folder of the images: never what the source of a move says. */
export const parentLinks = (rounds: number): readonly {readonly path: string; readonly to: string}[] =>
  rounds === 0
    ? []
    : [
        {path: PARENT_LINK, to: roundName(rounds)},
        ...Array.from({length: rounds - 1}, (_, index) => ({
          path: `${roundName(index + 2)}/${PARENT_LINK}`,
          to: `../${roundName(index + 1)}`,
        })),
      ]
