import {expect, test} from 'vitest'
import {lastMeaningfulLines, LineSplitter, OutputTail} from '../../../src/hosts/output.ts'

test('an output tail keeps the last bytes and says that it lost some', () => {
  const tail = new OutputTail(5)
  for (const part of ['ab', 'cd', 'e']) tail.add(Buffer.from(part))
  expect([tail.text(), tail.truncated]).toEqual(['abcde', false])
  for (const part of ['f', 'ghijkl', 'm']) tail.add(Buffer.from(part))
  expect([tail.text(), tail.truncated]).toEqual(['ijklm', true])
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
