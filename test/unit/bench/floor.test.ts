import {expect, test} from 'vitest'
import {shareOfLimits, summaryOf} from '../../bench/floor.ts'
import {pageOf} from '../../bench/page.ts'
import {resultsSchema} from '../../bench/results.ts'

const floor = {
  dumpSeconds: 1,
  copySeconds: 2,
  restoreSeconds: 1,
  totalSeconds: 4,
  downtimeSeconds: 4,
  writeSeconds: 2,
}
const roundOf = (share: number) => ({
  floor,
  move: {totalSeconds: 4 * share, downtimeSeconds: 4 * share, reportedSeconds: 3 * share},
  pauseSeconds: share,
  resumeSeconds: 3 * share,
})

test('a size has the medians of its rounds, of their ratios too', () => {
  const {totalSeconds, total, downtime, pause, resume} = summaryOf(200, [roundOf(3), roundOf(1), roundOf(2)])
  expect([totalSeconds, total, downtime, pause, resume]).toEqual([8, 2, 2, 2, 2])
})

test.for([
  // [MiB, share, what the highest share of a limit is]
  [10, 1, 2],
  [200, 1, 1 / 1.3],
  [200, 3, 3 / 1.3],
  [1024, 0.5, 0.5 / 1.3],
] as const)('%i MiB that take %f times the floor: %f', ([mebibytes, share, expected]) => {
  expect(shareOfLimits(summaryOf(mebibytes, [roundOf(share)]))).toBeCloseTo(expected, 9)
})

test('a small move is judged by its seconds, and pause and resume only of a large one', () => {
  const slow = {...summaryOf(200, [roundOf(1)]), pause: 30, resume: 30}
  expect(shareOfLimits(slow)).toBeCloseTo(1 / 1.3, 9)
  expect(shareOfLimits({...slow, mebibytes: 1024})).toBe(10)
  expect(shareOfLimits({...slow, mebibytes: 10, total: 99, totalSeconds: 1})).toBeCloseTo(1 / 1.3, 9)
})

test('the page gives medians, every ratio, and what was missed', async () => {
  const machine = {cores: 2, memoryGiB: 8, system: 'Linux', node: '24.0.0', loadAverage: 0}
  const sizes = [summaryOf(10, [roundOf(1)]), summaryOf(200, [roundOf(2), roundOf(1), roundOf(1.2)])]
  const page = await pageOf(resultsSchema.parse({i: {date: '2026-01-02', machine, sizes, worst: 2}}))
  expect(page).toMatch(
    /\| 200 MiB \| 4\.8 s +\| 1\.20 \(2\.00, 1\.00, 1\.20\) \| 4\.8 s +\| 3\.6 s +\| 1\.20/,
  )
  expect(page).toContain('A whole move of 10 MiB: **4.0 s**: **missed**, the target is at most 2 s.')
  expect(page).toContain('of the whole move from 200 MiB on, **1.20**: met')
  expect(page).toContain('of pause from 1024 MiB on, not measured')
})
