import {expect, test} from 'vitest'
import {atLeast} from '../../../src/bundle/go-source.ts'

test.each([
  ['3.5.3+ds1-6', '3.5.3'],
  ['2:18.6-3', '18.6'],
  ['3.6.0-1', '3.6.0'],
])('the package version %s is %s of its authors', (version, upstream) => {
  expect(atLeast('3.5.3', {name: 'prometheus', version})).toBe(upstream)
})

test('a package that is older than the pinned version is refused', () => {
  expect(() => atLeast('3.5.3', {name: 'prometheus', version: '2.42.0+ds-5+deb12u1'})).toThrow(
    'the package prometheus is 2.42.0+ds-5+deb12u1, 3.5.3 or newer is required',
  )
})
