import {chmod, lstat, mkdir, readdir, readFile, stat, symlink, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {changeUserFiles, type UserFile} from '../../../src/store/user-files.ts'
import {tempFolder} from '../../support/temp-folder.ts'

const options = {signal: new AbortController().signal, timeoutMs: 200}
const to =
  (text: string) =>
  ([file]: readonly UserFile[]) => ({changed: file === undefined ? [] : [{path: file.path, text}]})

test('a link stays a link, its file keeps its mode, and the text before is kept beside the link', async () => {
  await using folder = await tempFolder()
  const real = join(folder.path, 'dotfiles', 'kube')
  const path = join(folder.path, 'config')
  await mkdir(join(folder.path, 'dotfiles'))
  await writeFile(real, 'before')
  await chmod(real, 0o640)
  await symlink('dotfiles/kube', path)

  await changeUserFiles([path], to('after'), options)

  expect((await lstat(path)).isSymbolicLink()).toBe(true)
  expect(await readFile(real, 'utf8')).toBe('after')
  expect((await stat(real)).mode & 0o777).toBe(0o640)
  expect(await readFile(`${path}.clouder-backup`, 'utf8')).toBe('before')
  expect((await readdir(folder.path)).toSorted()).toEqual(['config', 'config.clouder-backup', 'dotfiles'])
  expect(await readdir(join(folder.path, 'dotfiles'))).toEqual(['kube'])
})

test('the lock of kubectl is waited for, and held while the file is read and written', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'config')
  await writeFile(`${path}.lock`, '')
  await expect(changeUserFiles([path], to('after'), options)).rejects.toMatchObject({code: 'LOCKED'})
  expect(await readdir(folder.path)).toEqual(['config.lock'])

  const other = join(folder.path, 'other')
  await Promise.all(
    ['1', '2', '3', '4', '5'].map((digit) =>
      changeUserFiles(
        [other],
        ([file]) => ({changed: [{path: other, text: `${file?.text ?? ''}${digit}`}]}),
        {
          ...options,
          timeoutMs: 5000,
        },
      ),
    ),
  )
  expect(
    Array.from(await readFile(other, 'utf8'))
      .toSorted()
      .join(''),
  ).toBe('12345')
  expect(await readdir(folder.path)).not.toContain('other.lock')
})

test('of several files one lock is waited for before the next is taken, in the order of kubectl', async () => {
  await using folder = await tempFolder()
  const [first, second] = [join(folder.path, 'a'), join(folder.path, 'b')]
  await writeFile(`${first}.lock`, '')
  const held: string[][] = []
  const over = new AbortController()
  const changing = changeUserFiles([second, first], to('after'), options).finally(() => over.abort())
  const refused = expect(changing).rejects.toMatchObject({code: 'LOCKED'})
  while (!over.signal.aborted) held.push(await readdir(folder.path))
  await refused
  expect(new Set(held.flat())).toEqual(new Set(['a.lock']))
})

test('a byte order mark stays', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'config')
  await writeFile(path, '\uFEFFbefore')
  await changeUserFiles(
    [path],
    ([file]) => ({changed: [{path, text: `${file?.text ?? ''} and after`}]}),
    options,
  )
  expect(await readFile(path, 'utf8')).toBe('\uFEFFbefore and after')
})

test('a new file is for its owner alone; nothing to change writes nothing', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, '.kube', 'config')
  await changeUserFiles([path], () => ({changed: []}), options)
  expect(await readdir(join(folder.path, '.kube'))).toEqual([])
  await changeUserFiles([path], to('new'), options)
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  expect(await readdir(join(folder.path, '.kube'))).toEqual(['config'])
})

test('a link to nothing, and bytes that are no text, are refused and stay', async () => {
  await using folder = await tempFolder()
  const link = join(folder.path, 'link')
  await symlink('nowhere', link)
  await expect(changeUserFiles([link], to('after'), options)).rejects.toThrow(/a link to nowhere/)
  const bytes = join(folder.path, 'bytes')
  await writeFile(bytes, Buffer.from([0x61, 0xff, 0x62]))
  await expect(changeUserFiles([bytes], to('after'), options)).rejects.toThrow(/not UTF-8/)
  expect(await readFile(bytes)).toEqual(Buffer.from([0x61, 0xff, 0x62]))
  expect((await readdir(folder.path)).toSorted()).toEqual(['bytes', 'link'])
})
