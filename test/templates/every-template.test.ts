import {spawnSync} from 'node:child_process'
import {readdirSync, readFileSync} from 'node:fs'
import {mkdir, writeFile} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {pathToFileURL} from 'node:url'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {findTemplates, isPartial} from '../../src/bootstrap/templating/render.ts'
import {withTempFolder} from '../support/temp-folder.ts'
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

/** All in one folder, by the names of their golden files: to start a program for each takes longer than its work. */
async function withScripts(use: (folder: string, paths: readonly string[]) => void): Promise<void> {
  await withTempFolder(async (folder) => {
    const scripts = cases.filter((one) => isScript(one.template, renderCase(one)))
    expect(scripts.length).toBeGreaterThan(30)
    for (const script of scripts) {
      const path = join(folder, goldenPath(script))
      await mkdir(dirname(path), {recursive: true})
      await writeFile(path, renderCase(script))
    }
    use(folder, scripts.map(goldenPath))
  })
}

const outputOf = (folder: string, command: string, args: readonly string[]) => {
  const {status, stdout, stderr} = spawnSync(command, args, {cwd: folder, encoding: 'utf8'})
  return {status, text: `${stdout}${stderr}`}
}

test('bash can parse every rendered script', async () => {
  await withScripts((folder, paths) => {
    const loop = 'for path; do bash -n "$path" || status=1; done; exit "${status:-0}"'
    expect(outputOf(folder, 'bash', ['-c', loop, 'bash', ...paths])).toEqual({status: 0, text: ''})
  })
})

test('every rendered script passes shellcheck', {timeout: 60_000}, async (context) => {
  if (spawnSync('shellcheck', ['--version']).status !== 0) {
    expect(
      process.env['CLOUDER_REQUIRE_E2E'],
      'shellcheck is not installed: apt-get install shellcheck',
    ).not.toBe('1')
    context.skip('shellcheck is not installed')
  }
  await withScripts((folder, paths) => {
    const namesShell = (path: string): boolean => readFileSync(join(folder, path), 'utf8').startsWith('#!')
    // Scripts for `bash -s` have no first line that names a shell.
    for (const [args, some] of [
      [['--shell=bash'], paths.filter((path) => !namesShell(path))],
      [[], paths.filter(namesShell)],
    ] as const) {
      expect(some).not.toEqual([])
      expect.soft(outputOf(folder, 'shellcheck', [...args, '--severity=warning', ...some])).toEqual({status: 0, text: ''})
    }
  })
})
