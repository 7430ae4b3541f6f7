import {expect, test} from 'vitest'
import {causesOf, firstCodeOf, isMissing, systemCode} from '../../../src/base/system-errors.ts'

const refused = Object.assign(new Error('connect ECONNREFUSED'), {code: 'ECONNREFUSED'})
const failed = new TypeError('fetch failed', {cause: new AggregateError([refused, new Error('second')])})

test('a code is found in what caused an error, and in the first address of several', () => {
  expect([...causesOf(failed)].map(({name}) => name)).toEqual(['TypeError', 'AggregateError', 'Error'])
  expect(firstCodeOf(failed)).toBe('ECONNREFUSED')
  expect(firstCodeOf(new Error('none'))).toBeUndefined()
  expect(systemCode(failed)).toBeUndefined()
})

test('only ENOENT means that a file is missing', () => {
  expect(isMissing(Object.assign(new Error('x'), {code: 'ENOENT'}))).toBe(true)
  expect(isMissing(refused)).toBe(false)
  expect(isMissing({code: 'ENOENT'})).toBe(false)
})
