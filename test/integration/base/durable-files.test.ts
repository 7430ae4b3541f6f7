import {execFile} from 'node:child_process'
import {readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {expect, test} from 'vitest'
import {withTempFolder} from '../../support/temp-folder.ts'

test('the order on the disk is content, name, folder', async (context) => {
  const traced = promisify(execFile)
  await traced('strace', ['-V']).catch((error: unknown) => {
    if (process.env['CLOUDER_REQUIRE_E2E'] === '1') throw error
    context.skip('strace is not installed')
  })
  await withTempFolder(async (folder) => {
    const module = new URL('../../../src/base/durable-files.ts', import.meta.url).href
    const program = `const {writeDurably} = await import(${JSON.stringify(module)}); await writeDurably(${JSON.stringify(join(folder, 'note'))}, 'x')`
    const log = join(folder, 'trace')
    await traced('strace', [
      '-f',
      '-y',
      '-e',
      'trace=fsync,rename',
      '-o',
      log,
      process.execPath,
      '-e',
      program,
    ])
    const calls = (await readFile(log, 'utf8'))
      .split('\n')
      .flatMap(
        (line) => /(fsync|rename)\(.*?(note[^>"]*|clouder-test-[^/>"]*)[>"]/.exec(line)?.slice(1, 2) ?? [],
      )
    expect(calls).toEqual(['fsync', 'rename', 'fsync'])
  })
})
