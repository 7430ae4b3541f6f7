import {chmod, mkdir, readFile, stat, symlink, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {UnsuitedDumpError} from '../../../../src/programs/node-agent/direct-dump.ts'
import {
  FILES_PROGRAM,
  packChanges,
  storeTools,
  type HostTools,
} from '../../../../src/programs/node-agent/tools-of-host.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const {signal} = new AbortController()

/** A node whose program to pack files is this shell text. */
const withProgram = (text: string, use: (tools: HostTools, folder: string) => Promise<void>): Promise<void> =>
  withTempFolder(async (folder) => {
    const program = join(folder, 'store', `${'ab'.repeat(32)}-${FILES_PROGRAM}`)
    await mkdir(join(folder, 'store'))
    await writeFile(program, `#!/bin/sh\n${text}\n`)
    await chmod(program, 0o755)
    await use(storeTools(folder), folder)
  })

const OVERLAY = {rootfs: '/run/root', upper: '/var/upper'}

test('what the program writes is in a new file that only its owner may read', async () => {
  await withProgram('echo "$@"', async (tools, folder) => {
    const path = join(folder, 'rootfs-diff.tar')
    await packChanges(tools)(OVERLAY, path, signal)
    expect(await readFile(path, 'utf8')).toBe('pack-changes --rootfs /run/root --upper /var/upper\n')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    // Another dump's is not written over.
    await expect(packChanges(tools)(OVERLAY, path, signal)).rejects.toMatchObject({code: 'CHECKPOINT_FAILED'})
  })
})

test('an overlay that the program cannot tell apart is left to the runtime, what fails otherwise is not', async () => {
  await withProgram('echo "no overlay is mounted there" >&2; exit 3', async (tools, folder) => {
    const packed = packChanges(tools)(OVERLAY, join(folder, 'tar'), signal)
    await expect(packed).rejects.toBeInstanceOf(UnsuitedDumpError)
  })
  await withProgram('echo "disk is full" >&2; exit 1', async (tools, folder) => {
    const error: unknown = await packChanges(tools)(OVERLAY, join(folder, 'tar'), signal).catch(
      (problem: unknown) => problem,
    )
    expect(error).not.toBeInstanceOf(UnsuitedDumpError)
    expect(error).toMatchObject({
      message: expect.stringContaining('exited with code 1: disk is full') as string,
    })
  })
})

test('a program that is not wanted any more is ended', async () => {
  await withProgram('exec sleep 600', async (tools, folder) => {
    const stop = AbortSignal.timeout(200)
    const packed = packChanges(tools)(OVERLAY, join(folder, 'tar'), stop)
    expect(await packed.catch((error: unknown) => error)).toBe(stop.reason)
  })
})

test('a program is there when it is in the store, and where it has a link, when that leads to it', async () => {
  await withProgram('true', async (tools, folder) => {
    expect(await tools.has(FILES_PROGRAM)).toBe(true)
    expect(await tools.has('criu-of-tomorrow')).toBe(false)
    await symlink('/nowhere', join(folder, FILES_PROGRAM))
    expect(await tools.has(FILES_PROGRAM)).toBe(false)
  })
})
