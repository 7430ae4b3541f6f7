import {execFile} from 'node:child_process'
import {mkdir, readdir, readFile, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {hclOf} from '../support/hcl.ts'
import {installPipPackage} from '../support/pip-package.ts'
import {withTempFolder} from '../support/temp-folder.ts'

const run = promisify(execFile)
const VERSION = '3.3.30'
const STACKS = join(import.meta.dirname, '../stacks/golden')
const PAGE = join(import.meta.dirname, '../../docs/security.md')

const reportSchema = z.looseObject({
  summary: z.looseObject({passed: z.int(), failed: z.int(), parsing_errors: z.literal(0)}),
  results: z.looseObject({
    failed_checks: z.array(z.looseObject({check_id: z.string(), resource: z.string()})),
  }),
})

/** Ids of the checks that a cloud's stacks fail, with a resource of each. */
async function failed(cloud: 'aws' | 'azure', dir: string): Promise<ReadonlyMap<string, string>> {
  const packages = await installPipPackage(`checkov-${VERSION}`, `checkov==${VERSION}`)
  const found = new Map<string, string>()
  const files = (await readdir(STACKS)).filter((file) => file.startsWith(`${cloud}-`))
  expect(files.length).toBeGreaterThan(2)
  for (const file of files) {
    const folder = join(dir, file)
    await mkdir(folder)
    const stack = z.record(z.string(), z.json()).parse(JSON.parse(await readFile(join(STACKS, file), 'utf8')))
    await writeFile(join(folder, 'main.tf'), hclOf(stack))
    const words = [
      '-m',
      'checkov.main',
      '-d',
      folder,
      '--framework',
      'terraform',
      '-o',
      'json',
      '--soft-fail',
    ]
    const {stdout} = await run('python3', [...words, '--compact', '--quiet'], {
      env: {...process.env, PYTHONPATH: packages},
      maxBuffer: 64 * 2 ** 20,
      timeout: 300_000,
    })
    const {summary, results} = reportSchema.parse(JSON.parse(stdout))
    // Everything was read: with too little, nothing would fail.
    expect(summary.passed, file).toBeGreaterThan(90)
    for (const {check_id: id, resource} of results.failed_checks) found.set(id, resource)
  }
  return found
}

const ROW = /^\| (CKV2?_(AWS|AZURE)_\d+) +\| (.*\S) +\| (.*\S) +\|$/

/** Ids that the page excuses, each with its reason. */
async function excused(cloud: 'aws' | 'azure'): Promise<readonly string[]> {
  const lines = (await readFile(PAGE, 'utf8')).split('\n')
  return lines.flatMap((line) => {
    const [, id = '', of = ''] = ROW.exec(line) ?? []
    return of.toLowerCase() === cloud ? [id] : []
  })
}

for (const cloud of ['aws', 'azure'] as const) {
  test(`what checkov finds in the stacks of ${cloud} is what the page on security gives a reason for`, () =>
    withTempFolder(async (dir) => {
      const found = await failed(cloud, dir)
      const known = await excused(cloud)
      const unknown = [...found].filter(([id]) => !known.includes(id)).map(([id, at]) => `${id} ${at}`)
      expect(unknown, 'mend it in stacks/, or give the reason in docs/security.md').toEqual([])
      expect(
        known.filter((id) => !found.has(id)),
        'no longer found: take it from the page',
      ).toEqual([])
    }))
}
