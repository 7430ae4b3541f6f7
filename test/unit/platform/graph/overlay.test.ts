import {expect, test} from 'vitest'
import {overlaid} from '../../../../src/platform/graph/overlay.ts'

test('mappings are merged, lists and texts replaced, and null removes', () => {
  const base = {a: {b: 1, c: [1, 2], d: {e: 1}}, f: 'x'}
  expect(overlaid(base, {a: {c: [3], d: null, g: {h: null, i: 1}}, f: {j: 1}})).toEqual({
    a: {b: 1, c: [3], g: {i: 1}},
    f: {j: 1},
  })
  expect(base.a.c).toEqual([1, 2])
})

test('a reference is one value: it is not merged with what it replaces, or what replaces it', () => {
  const reference = {$secret: {name: 'db', key: 'p'}}
  expect(overlaid({a: {b: 1}}, {a: reference})).toEqual({a: reference})
  expect(overlaid({a: reference}, {a: {b: 1}})).toEqual({a: {b: 1}})
  expect(overlaid({a: reference}, {a: {$config: {name: 'c', key: 'k'}}})).toEqual({
    a: {$config: {name: 'c', key: 'k'}},
  })
})
