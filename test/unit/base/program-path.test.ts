import {chmod, mkdir, writeFile} from 'node:fs/promises'
import {delimiter, join, relative} from 'node:path'
import {expect, test} from 'vitest'
import {findOnPath} from '../../../src/base/program-path.ts'
import {withTempFolder} from '../../support/temp-folder.ts'

const program = (path: string, mode = 0o755) => writeFile(path, '#!/bin/sh\n', {mode})

test('the first executable file on PATH is the program', () =>
  withTempFolder(async (dir) => {
    for (const name of ['folder', 'text', 'first', 'second']) await mkdir(join(dir, name))
    await mkdir(join(dir, 'folder/kubectl'))
    await program(join(dir, 'text/kubectl'), 0o644)
    await program(join(dir, 'first/kubectl'))
    await program(join(dir, 'second/kubectl'))
    const path = ['none', 'folder', 'text', 'first', 'second'].map((name) => join(dir, name)).join(delimiter)
    expect(await findOnPath('kubectl', path)).toBe(join(dir, 'first/kubectl'))
    await chmod(join(dir, 'first/kubectl'), 0o644)
    expect(await findOnPath('kubectl', path)).toBe(join(dir, 'second/kubectl'))
    expect(await findOnPath('helm', path)).toBeUndefined()
  }))

test('a name with a slash is a path', () =>
  withTempFolder(async (dir) => {
    await program(join(dir, 'tofu'))
    expect(await findOnPath(join(dir, 'tofu'), '/usr/bin')).toBe(join(dir, 'tofu'))
    expect(await findOnPath(relative(process.cwd(), join(dir, 'tofu')), '/usr/bin')).toBe(join(dir, 'tofu'))
    expect(await findOnPath(join(dir, 'terraform'), dir)).toBeUndefined()
  }))

test('an empty entry of PATH does not mean the working directory', async () => {
  // The root of the checkout, where the tests run, has no program, so one is found relative to it.
  const name = relative(process.cwd(), process.execPath)
  expect(await findOnPath(name, '')).toBe(process.execPath)
  for (const path of [undefined, '', delimiter, `/none${delimiter}`])
    expect(await findOnPath('node', path)).toBeUndefined()
})
