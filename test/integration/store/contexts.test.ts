import {execFile} from 'node:child_process'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {expect, test} from 'vitest'
import {diskContexts} from '../../../src/infrastructure/contexts/contexts.ts'
import {withTempFolder} from '../../support/temp-folder.ts'

const run = promisify(execFile)
const writer = join(import.meta.dirname, '../../support/context-writer.ts')

test('processes that keep contexts at the same time lose none of them', async () => {
  await withTempFolder(async (home) => {
    await Promise.all(
      ['1', '2', '3'].map(async (number) => await run(process.execPath, [writer, home, number, '10'])),
    )
    const contexts = diskContexts({home, now: Date.now, pid: process.pid, hostname: 'laptop'})
    expect(await contexts.list()).toHaveLength(30)
  })
})
