import {expect, test} from 'vitest'
import {formatBytes, formatDuration} from '../../../src/cli/duration.ts'
import {renderTable, type Column} from '../../../src/cli/table.ts'
import {palette} from '../../../src/cli/terminal.ts'

interface Row {
  readonly name: string
  readonly text?: string
}
const columns: readonly Column<Row>[] = [
  {title: 'name', text: ({name}) => name},
  {title: 'text', text: ({text}) => text},
]

test('a table is as wide as its content, and what is absent is a dash', () => {
  expect(renderTable(columns, [{name: 'cp-1', text: 'Ready'}, {name: 'worker-1'}])).toBe(
    ['NAME      TEXT', 'cp-1      Ready', 'worker-1  -'].join('\n'),
  )
})

test('a terminal cuts the widest column', () => {
  const shown = renderTable(columns, [{name: 'cp-1', text: 'x'.repeat(60)}], {columns: 30})
  expect(shown.split('\n')[1]).toBe(`cp-1  ${'x'.repeat(23)}…`)
})

test('a line break in a cell does not break the table', () => {
  expect(renderTable(columns, [{name: 'a', text: 'one\n  two'}])).toContain('a     one two')
})

test('colours do not count as width', () => {
  const lines = renderTable(columns, [
    {name: '\u001b[31mred\u001b[39m', text: 'x'},
    {name: 'plain', text: 'y'},
  ]).split('\n')
  expect(lines[1]).toBe('\u001b[31mred\u001b[39m    x')
})

test('a cell that is cut keeps its colour, and the next cell does not get it', () => {
  const name = '\u001b[31mred and long\u001b[39m'
  const shown = renderTable(columns, [{name, text: 'x'}], {columns: 11}).split('\n')[1]
  expect(shown).toBe('\u001b[31mred and…\u001b[39m  x')
})

test('a wide character is two columns wide, and one that combines with another none', () => {
  const lines = renderTable(columns, [
    {name: '東京', text: 'x'},
    {name: 'cafe\u0301', text: 'y'},
  ]).split('\n')
  expect(lines).toEqual(['NAME  TEXT', '東京  x', 'cafe\u0301  y'])
})

test('styles are escape sequences where the terminal has colours, and nothing elsewhere', () => {
  expect(palette(true).red('no')).toBe('\u001b[31mno\u001b[39m')
  expect(palette(false).red('no')).toBe('no')
})

test('durations and sizes are short', () => {
  expect([0, 420, 12_345, 59_940, 59_960, 125_000].map(formatDuration)).toEqual([
    '0.0 s',
    '0.4 s',
    '12.3 s',
    '59.9 s',
    '1 min 0 s',
    '2 min 5 s',
  ])
  expect([12, 3400, 1_250_000_000].map(formatBytes)).toEqual(['12 B', '3.4 kB', '1.3 GB'])
})
