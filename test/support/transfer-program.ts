import {execFile} from 'node:child_process'
import {mkdir} from 'node:fs/promises'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {FILES_PROGRAM, storeTools} from '../../src/programs/node-agent/tools-of-host.ts'
import type {StartTransfer} from '../../src/programs/node-agent/transfer/program.ts'
import {MODULE} from './restore-handler.ts'

/** Compiles the program that nodes have for files into a folder, as a node keeps it; gives how an agent starts it. */
export async function transferProgram(folder: string): Promise<StartTransfer> {
  const store = join(folder, 'store')
  await mkdir(store, {recursive: true})
  const program = join(store, `${'ab'.repeat(32)}-${FILES_PROGRAM}`)
  const env = {...process.env, CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off'}
  await promisify(execFile)('go', ['build', '-o', program, './files'], {cwd: MODULE, env})
  const tools = storeTools(folder)
  return (words, options) => tools.start(FILES_PROGRAM, words, options)
}
