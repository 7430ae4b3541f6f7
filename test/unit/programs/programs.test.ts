import {readdir} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {PROGRAMS} from '../../../src/programs/programs.ts'

test('each folder of src/programs is a program that its name starts', async () => {
  const entries = await readdir(join(import.meta.dirname, '../../../src/programs'), {withFileTypes: true})
  const folders = entries.filter((entry) => entry.isDirectory()).map(({name}) => name)
  expect([...PROGRAMS.keys()].sort()).toEqual(folders.sort())
  for (const load of PROGRAMS.values()) expect((await load()).run).toBeTypeOf('function')
})
