import {writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {writeTar} from '../../../src/bundle/tar.ts'
import {withTempFolder} from '../../support/temp-folder.ts'

test('a tar that is stopped at any moment ends with the reason, and with nothing else', async () => {
  await withTempFolder(async (dir) => {
    const file = join(dir, 'program')
    await writeFile(file, Buffer.alloc(4 << 20))
    const entries = [
      {path: 'program', file, mode: 0o644},
      {path: 'program-2', file, mode: 0o644},
      {path: 'text', text: 'x'.repeat(1 << 20), mode: 0o644},
    ]
    const reason = new Error('stopped')
    // An error that nobody listens for ends the process, and fails the run of this test.
    for (let afterMs = 0; afterMs < 12; afterMs += 0.5) {
      const stop = new AbortController()
      const written = writeTar(entries, join(dir, 'tar'), stop.signal)
      const timer = setTimeout(() => stop.abort(reason), afterMs)
      await written.catch((error: unknown) => expect(error).toMatchObject({cause: reason}))
      clearTimeout(timer)
    }
  })
})
