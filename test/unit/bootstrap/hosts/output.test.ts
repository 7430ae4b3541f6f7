import {expect, test} from 'vitest'
import {lastMeaningfulLines, LineSplitter, OutputTail} from '../../../../src/bootstrap/hosts/output.ts'

test('an output tail keeps the last bytes and says that it lost some', () => {
  const tail = new OutputTail(5)
  for (const part of ['ab', 'cd', 'e']) tail.add(Buffer.from(part))
  expect([tail.text(), tail.truncated]).toEqual(['abcde', false])
  for (const part of ['f\n', 'ghijkl', 'm']) tail.add(Buffer.from(part))
  // Nothing of a line whose beginning is lost: it may be half a secret.
  expect([tail.text(), tail.truncated]).toEqual(['', true])
  for (const part of ['\nn', 'op']) tail.add(Buffer.from(part))
  expect(tail.text()).toBe('nop')
})

test('of a line that never ends the beginning is told once, and the next line is whole', () => {
  const lines: [number, boolean][] = []
  const splitter = new LineSplitter((line, isCut) => lines.push([line.length, isCut]))
  for (let part = 0; part < 40; part += 1) splitter.add(Buffer.alloc(5_000, 'x'))
  splitter.add(Buffer.from('x\nnext\nlast'))
  splitter.end()
  expect(lines).toEqual([
    [65_536, true],
    [4, false],
    [4, false],
  ])
})

test('lines are whole whatever the chunks were', () => {
  const lines: string[] = []
  const splitter = new LineSplitter((line) => lines.push(line))
  const bytes = Buffer.from('grüße\r\n\nlast')
  for (const byte of bytes) splitter.add(Buffer.from([byte]))
  expect(lines).toEqual(['grüße', ''])
  splitter.end()
  expect(lines).toEqual(['grüße', '', 'last'])
})

test('the last lines that say something are given', () => {
  expect(lastMeaningfulLines('a\n\nb  \n \nc\n\n', 2)).toEqual(['b', 'c'])
})
