import {spawnSync} from 'node:child_process'
import {readdirSync} from 'node:fs'
import {join} from 'node:path'
import {pathToFileURL} from 'node:url'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {findTemplates, isPartial} from '../../src/bootstrap/templating/render.ts'
import {golden, goldenPath, isScript, renderCase, templatesDir} from './golden.ts'

const casesSchema = z.object({
  cases: z.array(
    z.strictObject({template: z.string(), name: z.string(), view: z.record(z.string(), z.unknown())}),
  ),
})

const casesDir = join(import.meta.dirname, 'cases')
const files = readdirSync(casesDir).filter((file) => file.endsWith('.ts'))
const modules = await Promise.all(
  files.map(async (file): Promise<unknown> => import(pathToFileURL(join(casesDir, file)).href)),
)
const cases = modules.flatMap((module) => casesSchema.parse(module).cases)
const templates = findTemplates(templatesDir).filter((name) => !isPartial(name))

for (const one of cases) {
  test(`${one.template} renders as its golden file says: ${one.name}`, () => {
    golden(one)
  })
}

test('every template has a golden file', () => {
  const covered = new Set(cases.map(({template}) => template))
  expect(templates.filter((template) => !covered.has(template))).toEqual([])
})

test('every golden file belongs to a case', () => {
  const wanted = new Set(cases.map((one) => goldenPath(one)))
  const found = readdirSync(join(import.meta.dirname, 'golden'), {recursive: true, withFileTypes: true})
    .filter((entry) => entry.isFile() && entry.name !== '.gitkeep')
    .map((entry) => join(entry.parentPath, entry.name).slice(join(import.meta.dirname, 'golden').length + 1))
  expect(found.filter((path) => !wanted.has(path))).toEqual([])
  expect(wanted.size, 'two cases share a template and a name').toBe(cases.length)
})

test('every script stops at the first failure', () => {
  const scripts = cases.filter((one) => isScript(one.template, renderCase(one)))
  const careless = scripts.filter((script) => !/^set -eu(o pipefail)?$/m.test(renderCase(script)))
  expect(careless.map(({template}) => template)).toEqual([])
})

test('every rendered script passes shellcheck', {timeout: 60_000}, (context) => {
  const scripts = cases.filter((one) => isScript(one.template, renderCase(one)))
  if (spawnSync('shellcheck', ['--version']).status !== 0) {
    expect(process.env['CLOUDER_REQUIRE_E2E'], 'shellcheck is not installed: apt-get install shellcheck').not.toBe('1')
    context.skip('shellcheck is not installed')
  }
  for (const script of scripts) {
    const text = renderCase(script)
    // Scripts for `bash -s` have no first line that names a shell.
    const shell = text.startsWith('#!') ? [] : ['--shell=bash']
    const {stdout} = spawnSync('shellcheck', [...shell, '--severity=warning', '-'], {input: text, encoding: 'utf8'})
    expect.soft(stdout, goldenPath(script)).toBe('')
  }
})
