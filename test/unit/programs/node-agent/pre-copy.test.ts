import {expect, test} from 'vitest'
import {isWorthAnother, type Round} from '../../../../src/programs/node-agent/pre-copy.ts'

const MIB = 1024 ** 2
/** Rounds at 500 MiB/s. */
const rounds = (...mebibytes: readonly number[]): readonly Round[] =>
  mebibytes.map((size) => ({bytes: size * MIB, ms: size * 2}))

test.for<[string, readonly Round[], number, number, boolean]>([
  ['nothing was copied yet', [], 0, 2048, true],
  ['the first round has all', rounds(1024), 1000, 3072, true],
  ['the rest is dumped in an instant', rounds(1024, 99), 1000, 3072, false],
  ['the rest is small, however slow the node is', [{bytes: 16 * MIB, ms: 10_000}], 10_000, 2048, false],
  ['it still shrinks', rounds(1024, 512), 1000, 3072, true],
  ['it hardly shrinks', rounds(1024, 800), 1000, 3072, false],
  ['it has been tried often enough', rounds(1024, 700, 480, 330, 230), 1000, 9999, false],
  ['there is no room for another', rounds(1024, 512), 1000, 2000, false],
  ['it takes too long', rounds(1024, 512), 120_000, 3072, false],
])('%s', ([, done, elapsedMs, mostMebibytes, isWorth]) => {
  expect(isWorthAnother(done, mostMebibytes * MIB, elapsedMs)).toBe(isWorth)
})
