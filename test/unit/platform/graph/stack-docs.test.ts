import {join} from 'node:path'
import {expect, test} from 'vitest'
import {stackJsonSchema} from '../../../../src/platform/graph/stack-schema.ts'
import {packageRoot} from '../../../support/cli.ts'
import {stackReferencePage} from '../../../support/stack-reference-page.ts'
import {expectGoldenFile} from '../../../templates/golden.ts'

test('docs/stack.schema.json is the schema of the code', () => {
  const path = join(packageRoot, 'docs/stack.schema.json')
  expectGoldenFile(path, `${JSON.stringify(stackJsonSchema(), null, 2)}\n`)
})

test('docs/stack-reference.md lists every key', () => {
  const page = stackReferencePage()
  expect(page).toContain('`services.*.gate.http.status` (number, default `200`)')
  expectGoldenFile(join(packageRoot, 'docs/stack-reference.md'), page)
})
