import {expect, test} from 'vitest'
import {labelValue, objectName, serviceName} from '../../../src/api/object-names.ts'

test('what fits stays as people wrote it', () => {
  expect(objectName(['move', 'web'])).toBe('move-web')
  expect(labelValue('a'.repeat(62))).toBe('a'.repeat(62))
  expect(serviceName('team')).toBe('team')
})

test('names that differ behind the cut, or only in what was cut, are told apart', () => {
  const long = 'a'.repeat(200)
  expect(labelValue(`${long}b`)).not.toBe(labelValue(`${long}c`))
  expect(labelValue(labelValue(long))).not.toBe(labelValue(long))
  expect(serviceName('a.b')).not.toBe(serviceName('a-b'))
})
