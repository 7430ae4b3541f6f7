import fc from 'fast-check'
import {expect, test} from 'vitest'
import {isAtLeast} from '../../../src/base/versions.ts'

/** The comparison of two numbers that stood in three files before. */
function byTwoNumbers(version: string, oldest: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [oldestMajor = 0, oldestMinor = 0] = oldest.split('.').map(Number)
  return major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)
}

test('versions of numbers are compared as two numbers were', () => {
  const number = fc.oneof(fc.nat(12), fc.nat(9999))
  fc.assert(
    fc.property(fc.array(number, {minLength: 1, maxLength: 4}), number, number, (parts, major, minor) => {
      const [version, oldest] = [parts.join('.'), `${major}.${minor}`]
      expect(isAtLeast(version, oldest)).toBe(byTwoNumbers(version, oldest))
    }),
  )
})

for (const [version, oldest, expected] of [
  ['6.16.3-arch1-1', '6.16', true],
  ['6.8.0-45-generic', '6.16', false],
  ['6.16-rc2', '6.16', true],
  ['22.22.2+dfsg+~cs22.19.15-1', '22.15', true],
  ['20.19.2+dfsg-1', '22.15', false],
  ['4.2', '4.2', true],
  ['4.10.1', '4.2', true],
  ['5.0', '4.2', true],
  ['4.1.1', '4.2', false],
  ['3.17', '4.2', false],
  ['absent', '4.2', false],
  ['', '4.2', false],
] as const) {
  test(`${version || 'nothing'} is ${expected ? '' : 'not '}${oldest} or newer`, () => {
    expect(isAtLeast(version, oldest)).toBe(expected)
  })
}
