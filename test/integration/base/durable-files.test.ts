import {execFile} from 'node:child_process'
import {readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {expect, test, type TestContext} from 'vitest'
import {withTempFolder} from '../../support/temp-folder.ts'

const traced = promisify(execFile)

/** Runs a program that imports the module as `files`, and gives its calls of fsync and rename in order. */
async function callsOf(folder: string, program: string, context: TestContext): Promise<readonly string[]> {
  await traced('strace', ['-V']).catch((error: unknown) => {
    if (process.env['CLOUDER_REQUIRE_E2E'] === '1') throw error
    context.skip('strace is not installed')
  })
  const module = new URL('../../../src/base/durable-files.ts', import.meta.url).href
  const log = join(folder, 'trace')
  const text = `const files = await import(${JSON.stringify(module)}); ${program}`
  await traced('strace', ['-f', '-y', '-e', 'trace=fsync,rename', '-o', log, process.execPath, '-e', text])
  // A call that another thread's is between has a second line, without its arguments.
  const call = /(fsync|rename)\(.*?(note[^>"]*|clouder-test-[^/>"]*)[>"]/
  return (await readFile(log, 'utf8')).split('\n').flatMap((line) => {
    const [, name = '', path = ''] = call.exec(line) ?? []
    return name === '' ? [] : [name === 'fsync' && !path.startsWith('note') ? 'fsync of the folder' : name]
  })
}

test('the order on the disk is content, name, folder', async (context) => {
  await withTempFolder(async (folder) => {
    const program = `await files.writeDurably(${JSON.stringify(join(folder, 'note'))}, 'x')`
    expect(await callsOf(folder, program, context)).toEqual(['fsync', 'rename', 'fsync of the folder'])
  })
})

test('files that are written at the same time share the syncs of their folder, which come after their names', async (context) => {
  await withTempFolder(async (folder) => {
    const path = JSON.stringify(join(folder, 'note'))
    const program = `await Promise.all(Array.from({length: 40}, (_, i) => files.writeDurably(${path} + i, 'x')))`
    const calls = await callsOf(folder, program, context)
    expect(calls.filter((call) => call === 'fsync')).toHaveLength(40)
    expect(calls.filter((call) => call === 'rename')).toHaveLength(40)
    const folders = calls.filter((call) => call === 'fsync of the folder').length
    expect(folders).toBeGreaterThan(0)
    expect(folders).toBeLessThan(40)
    expect(calls.lastIndexOf('fsync of the folder')).toBeGreaterThan(calls.lastIndexOf('rename'))
  })
})
