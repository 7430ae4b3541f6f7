import {readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {packageRoot} from '../../bench/clusters.ts'
import {pageOf} from '../../bench/page.ts'
import {resultsSchema} from '../../bench/results.ts'

const textOf = (path: string): Promise<string> => readFile(join(packageRoot, path), 'utf8')

test('docs/benchmarks.md is what test/bench/results.json gives', async () => {
  const results = resultsSchema.parse(JSON.parse(await textOf('test/bench/results.json')))
  expect(await pageOf(results)).toBe(await textOf('docs/benchmarks.md'))
})

test('what was not measured has no section', async () => {
  expect((await pageOf({})).match(/^#.*$/gm)).toEqual(['# Benchmarks'])
})
