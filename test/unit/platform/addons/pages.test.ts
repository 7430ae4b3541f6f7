import {existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {ADDONS} from '../../../../src/platform/addons/catalogue.ts'
import {addonPages, entries, indexPage} from '../../../support/addon-pages.ts'
import {packageRoot} from '../../../support/cli.ts'

const FOLDER = join(packageRoot, 'docs/addons')

function golden(name: string, text: string): void {
  const path = join(FOLDER, name)
  if (process.env['UPDATE_GOLDEN'] === '1') {
    mkdirSync(FOLDER, {recursive: true})
    writeFileSync(path, text)
  }
  expect(existsSync(path) ? readFileSync(path, 'utf8') : '', `rewrite ${name} with UPDATE_GOLDEN=1`).toBe(
    text,
  )
}

test('the pages of addons are what their definitions and READMEs say', {timeout: 60_000}, async () => {
  const pages = await addonPages()
  for (const {addon, text} of pages) golden(`${addon.id}.md`, text)
  golden('README.md', await indexPage(pages.map(({addon}) => addon)))
  const expected = [...pages.map(({addon}) => `${addon.id}.md`), 'README.md']
  expect(readdirSync(FOLDER).toSorted()).toEqual(expected.toSorted())
})

test('what is registered has a folder of its name', async () => {
  const ids = (await entries()).map(({id}) => id)
  expect(ADDONS.map(({id}) => id).filter((id) => !ids.includes(id))).toEqual([])
})
