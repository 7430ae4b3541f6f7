import {readdir, readFile, stat, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {makeFolderDurably, writeDurably} from '../../../src/base/durable-files.ts'
import {withTempFolder} from '../../support/temp-folder.ts'

test('a file is there as a whole, for its owner alone, and nothing beside it', async () => {
  await withTempFolder(async (folder) => {
    const path = join(folder, 'note')
    await writeFile(path, 'old')
    await writeDurably(path, 'new')
    expect(await readFile(path, 'utf8')).toBe('new')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await readdir(folder)).toEqual(['note'])
  })
})

test('what cannot get its name leaves nothing behind', async () => {
  await withTempFolder(async (folder) => {
    await makeFolderDurably(join(folder, 'taken', 'below'))
    await expect(writeDurably(join(folder, 'taken'), 'x')).rejects.toMatchObject({code: 'EISDIR'})
    expect(await readdir(folder)).toEqual(['taken'])
  })
})
