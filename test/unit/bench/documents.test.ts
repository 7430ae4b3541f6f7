import {expect, test} from 'vitest'
import {stringify} from 'yaml'
import {loadSpec} from '../../../src/spec/load.ts'
import {applyDocument} from '../../bench/apply.ts'
import {moveDocument} from '../../bench/checkpoint.ts'
import {floorDocument} from '../../bench/floor.ts'

test('the cluster of an apply in a cloud is a valid spec', () => {
  const spec = loadSpec({text: stringify(applyDocument(2))})
  expect([spec.provider.kind, spec.controlPlane.count, spec.workers[0]?.count]).toEqual(['aws', 1, 2])
})

test('the cluster of a move against the floor is a valid spec', () => {
  const spec = loadSpec({text: stringify(floorDocument)})
  expect([spec.checkpoint.enabled, spec.workers[0]?.count]).toEqual([true, 2])
})

test('the cluster of a move is a valid spec, whose nodes restore from images', () => {
  const spec = loadSpec({text: stringify(moveDocument)})
  expect(spec.checkpoint.restore).toBe('trusted-images')
  expect(spec.workers.map(({labels}) => labels)).toEqual([{'clouder.dev/checkpoint-images': 'true'}])
})
