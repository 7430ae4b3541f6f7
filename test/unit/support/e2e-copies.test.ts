import {expect, test} from 'vitest'
import {copiesAtOnce, spansOf} from '../../support/e2e-copies.ts'

/** Looks of one process: times and how often it was switched to until then. */
const looks = (process: string, argument: string, ...seen: readonly (readonly [number, number])[]): string =>
  seen.map(([at, switches]) => `${at.toFixed(3)} ${process} ${argument} ${switches}`).join('\n')

test('a process runs while it is switched to, and not while it stands still', () => {
  const text = looks('7-100', '16', [1, 5], [1.25, 9], [1.5, 12], [1.75, 12], [2, 12], [2.25, 13])
  expect(spansOf('worker-1', text)).toEqual([
    {node: 'worker-1', process: '7-100', argument: '16', from: 1, to: 1.5},
    {node: 'worker-1', process: '7-100', argument: '16', from: 2, to: 2.25},
  ])
})

test('two copies that run at the same time are found, wherever they are', () => {
  const source = spansOf('worker-1', looks('7-100', '16', [1, 5], [2, 9], [3, 12]))
  const copy = spansOf('worker-2', looks('9-300', '16', [2, 1], [4, 8]))
  const other = spansOf('worker-2', looks('11-301', '32', [1, 1], [4, 8]))
  expect(copiesAtOnce([...source, ...other])).toEqual([])
  expect(copiesAtOnce([...source, ...copy, ...other])).toEqual([
    'worker-1/7-100 and worker-2/9-300 (16 MiB) both ran for 1.00 s',
  ])
})

test('one that begins as the other ends is no second copy', () => {
  const source = spansOf('worker-1', looks('7-100', '16', [1, 5], [2, 9]))
  const copy = spansOf('worker-2', looks('9-300', '16', [1.75, 1], [2, 8]))
  expect(copiesAtOnce([...source, ...copy])).toEqual([])
})
