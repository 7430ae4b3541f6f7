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

test('calls of an API server: medians per client, ratios to the others', async () => {
  const cost = (share: number) => ({
    requestsPerSecond: 1000 * share,
    cpuMilliseconds: 0.5 / share,
    peakBytes: 80_000_000,
    connections: 8,
  })
  const round = {clouder: cost(1), foreign: cost(0.9), clientNode: cost(0.1), https: cost(1.5)}
  const ratios = (share: number) => ({requestsPerSecond: 1 / share, cpuMilliseconds: share, peakBytes: 1})
  const taken = {
    date: '2026-01-02',
    machine: {cores: 2, memoryGiB: 8, system: 'Linux', node: '24.0.0', loadAverage: 0},
  }
  const result = {
    ...taken,
    rounds: [round],
    ratios: {clientNode: ratios(0.1), https: ratios(1.5)},
    worst: 1,
  }
  const page = await pageOf(resultsSchema.parse({h: result}))
  expect(page).toMatch(/\| clouder +\| 1000 +\| 0\.50 ms +\| 80\.0 MB +\| 8 +\|/)
  expect(page).toMatch(/\| `@kubernetes\/client-node` \| 10\.00 +\| 0\.10 +\| 1\.00 +\|/)
  expect(page).toContain('Worst of the three ratios to `@kubernetes/client-node`: **1.00**: met')
})
