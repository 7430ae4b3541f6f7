import {execFile, spawn} from 'node:child_process'
import {once} from 'node:events'
import {readdir} from 'node:fs/promises'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {expect, test} from 'vitest'
import {diskStore} from '../../../src/store/disk.ts'
import {withTempFolder} from '../../support/temp-folder.ts'

const run = promisify(execFile)
const program = (name: string): string => join(import.meta.dirname, '../../support', name)

test('of many processes that contend, owners dying all the time, never two hold the lock', async () => {
  await withTempFolder(async (dir) => {
    const contenders = [1, 2, 3, 4, 5, 6].map(
      async (number) =>
        await run(process.execPath, [program('lock-contender.ts'), dir, String(number), '20']),
    )
    const ends = await Promise.allSettled(contenders)
    expect(ends.filter(({status}) => status === 'rejected')).toEqual([])
  })
})

test('the lock of a killed process is taken over at once, that of a living one is not', async () => {
  await withTempFolder(async (home) => {
    const store = diskStore({home, now: Date.now, pid: process.pid, hostname: 'laptop'})
    const holder = spawn(process.execPath, [program('lock-holder.ts'), home, 'demo'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    await once(holder.stdout, 'data')
    await expect(store.lock('demo', 'kubeadm init')).rejects.toMatchObject({
      code: 'LOCKED',
      suggestions: [expect.stringContaining(`kill -INT ${holder.pid ?? 0}`)],
    })
    holder.kill('SIGKILL')
    await once(holder, 'exit')
    {
      await using _lock = await store.lock('demo', 'kubeadm init')
      expect(await readdir(store.paths('demo').dir)).toEqual(['lock.json'])
    }
    expect(await readdir(join(home, 'kubeadm'))).toEqual([])
  })
})
