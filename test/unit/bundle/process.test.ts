import {readFile, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {readElfLinks} from '../../../src/bundle/elf.ts'
import {requireProgram, runProcess} from '../../../src/bundle/process.ts'
import {waitFor} from '../../../src/base/waiting.ts'
import {temporaryFolder} from '../../support/tiny-bundle.ts'

const environment = {PATH: process.env['PATH']}
const {signal} = new AbortController()

test('a program that fails is an error with what it said last', async () => {
  await using folder = await temporaryFolder()
  const argv = ['sh', '-c', 'echo too bad >&2; exit 3'] as const
  await expect(runProcess([...argv], {cwd: folder.dir, environment, signal})).rejects.toMatchObject({
    code: 'BUILD_FAILED',
    message: expect.stringMatching(/exited with code 3: too bad$/) as string,
  })
})

test('an abort ends the children of a program too', async () => {
  await using folder = await temporaryFolder()
  const controller = new AbortController()
  const running = runProcess(['sh', '-c', 'sleep 60 & echo $! > child; wait'], {
    cwd: folder.dir,
    environment,
    signal: controller.signal,
  })
  const child = await waitFor({
    what: 'the child to start',
    check: async () => {
      const text = await readFile(join(folder.dir, 'child'), 'utf8').catch(() => '')
      return text.endsWith('\n') ? {value: Number(text), seen: text} : {seen: 'no pid'}
    },
    timeoutMs: 5000,
    intervalMs: 10,
    signal,
  })
  controller.abort(new Error('enough'))
  await expect(running).rejects.toThrow('enough')
  await waitFor({
    what: 'the child to be gone',
    check: async () => {
      const state = await readFile(`/proc/${child}/stat`, 'utf8').catch(() => undefined)
      // A zombie without a parent that reaps it is gone all the same.
      return state === undefined || state.includes(') Z ') ? {value: true, seen: 'gone'} : {seen: state}
    },
    timeoutMs: 5000,
    intervalMs: 10,
    signal,
  })
})

test('a missing program is named together with its fix', async () => {
  const required = requireProgram('no-such-program', 'apt-get install -y it', environment)
  await expect(required).rejects.toMatchObject({
    message: expect.stringContaining('no-such-program') as string,
    suggestions: ['apt-get install -y it'],
  })
})

test('the loader and libraries of a program are read from the file itself', async () => {
  const links = await readElfLinks('/bin/sh')
  expect(links?.interpreter).toMatch(/ld-linux/)
  expect(links?.needed).toContain('libc.so.6')
})

test('a file that is no ELF file has no links', async () => {
  await using folder = await temporaryFolder()
  const file = join(folder.dir, 'script')
  await writeFile(file, '#!/bin/sh\n'.repeat(20))
  expect(await readElfLinks(file)).toBeUndefined()
})
