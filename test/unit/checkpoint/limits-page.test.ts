import {readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {CELLS, HOLDS, matrixTable, PLACES} from '../../support/move-matrix.ts'

test('docs/checkpoint/limits.md has the matrix that is tested on a cluster', () => {
  const path = join(import.meta.dirname, '../../../docs/checkpoint/limits.md')
  const text = readFileSync(path, 'utf8')
  const wanted = text.replace(
    /(<!-- matrix: .*-->\n)[^]*(<!-- end of matrix -->)/,
    (_all, start: string, end: string) => `${start}\n${matrixTable()}\n\n${end}`,
  )
  expect(wanted).toContain(matrixTable())
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, wanted)
  expect(readFileSync(path, 'utf8'), 'rewrite it with UPDATE_GOLDEN=1').toBe(wanted)
})

test('every place has every way to hold something, but for what no volume that is read-only has', () => {
  const absent = PLACES.flatMap((place) => HOLDS.map((hold) => ({place, hold}))).filter(
    (one) => !CELLS.some(({place, hold}) => place === one.place && hold === one.hold),
  )
  expect([...new Set(absent.map(({hold}) => hold))]).toEqual(['unlinked file', 'FIFO', 'unix socket'])
  expect([...new Set(absent.map(({place}) => place))]).toEqual(['ConfigMap', 'Secret', 'projected token'])
})
