import {join} from 'node:path'
import {expect, test} from 'vitest'
import {customResourcesPage, kindsOfDefinitions} from '../../../support/custom-resources-page.ts'
import {packageRoot} from '../../../support/cli.ts'
import {expectGoldenFile} from '../../../templates/golden.ts'

test('the page of the custom resources is what their definitions say', () => {
  expectGoldenFile(join(packageRoot, 'docs/reference-custom-resources.md'), customResourcesPage())
})

test.for(kindsOfDefinitions())('every field of $kind has a description, for kubectl explain', ({fields}) => {
  expect(fields.length).toBeGreaterThan(2)
  const silent = fields.filter(({field}) => field.description === undefined || field.description === '')
  expect(silent.map(({path}) => path)).toEqual([])
})
