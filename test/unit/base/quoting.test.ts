import {expect, test} from 'vitest'
import {quoteArgv} from '../../../src/base/quoting.ts'

test('plain words stay readable and others are quoted', () => {
  expect(quoteArgv(['kubeadm', 'init', '--config=/etc/x.yaml'])).toBe('kubeadm init --config=/etc/x.yaml')
  expect(quoteArgv(['echo', "it's", '', '~', '$HOME'])).toBe(`echo 'it'\\''s' '' '~' '$HOME'`)
})

test('a first word that would be an assignment is quoted', () => {
  expect(quoteArgv(['A=b', 'A=b'])).toBe(`'A=b' A=b`)
})

test('a NUL character is refused', () => {
  expect(() => quoteArgv(['a\0b'])).toThrow(TypeError)
})
