import {join} from 'node:path'
import {expect, test} from 'vitest'
import {criExec} from '../../../../src/programs/node-agent/container-exec.ts'
import {serveRuntime, type RuntimeAnswer} from '../../../support/fake-runtime.ts'
import {tempFolder} from '../../../support/temp-folder.ts'

const {signal} = new AbortController()
const OPTIONS = {timeoutSeconds: 30, signal}

async function withRuntime(
  answer: Parameters<typeof serveRuntime>[1],
  use: (exec: ReturnType<typeof criExec>, cancelled: () => number) => Promise<void>,
): Promise<void> {
  await using folder = await tempFolder()
  const socket = join(folder.path, 'runtime.sock')
  await using runtime = await serveRuntime(socket, answer)
  await use(criExec(socket), runtime.cancelled)
}

test('a command is run in the container that was asked for, and its end is told', async () => {
  const seen: unknown[] = []
  const long = 'x'.repeat(300_000)
  await withRuntime(
    (request, path) => {
      seen.push([path, request.text(1), request.texts(2), request.number(3)])
      return {exitCode: 3, stdout: long, stderr: 'no such word'}
    },
    async (exec) => {
      expect(await exec('0a1b', ['/smoke', 'a word', ''], OPTIONS)).toEqual({
        exitCode: 3,
        stdout: long,
        stderr: 'no such word',
      })
    },
  )
  expect(seen).toEqual([['/runtime.v1.RuntimeService/ExecSync', '0a1b', ['/smoke', 'a word', ''], 30]])
})

test.for<[string, RuntimeAnswer, string, string]>([
  [
    'its time is up',
    {status: 4, message: 'timeout 30s exceeded'},
    'CHECKPOINT_FAILED',
    'timed out after 30 s',
  ],
  [
    'the runtime starts anew',
    {status: 14, message: 'not yet'},
    'API_UNREACHABLE',
    'does not respond: not yet',
  ],
  [
    'there is no such program',
    {status: 2, message: 'exec: "x": not found'},
    'CHECKPOINT_FAILED',
    '"x": not found',
  ],
])('a command fails because %s', async ([, answer, code, words]) => {
  await withRuntime(
    () => answer,
    async (exec) => {
      const error = await exec('0a1b', ['x'], OPTIONS).catch((problem: unknown) => problem)
      expect(error).toMatchObject({code, message: expect.stringContaining(words) as string})
    },
  )
})

test('a command that is not wanted any more is cancelled, which kills it', async () => {
  const stop = new AbortController()
  await withRuntime(
    () => {
      stop.abort(new Error('the agent ends'))
      return new Promise<RuntimeAnswer>(() => undefined)
    },
    async (exec, cancelled) => {
      await expect(exec('0a1b', ['sleep'], {timeoutSeconds: 30, signal: stop.signal})).rejects.toThrow(
        'the agent ends',
      )
      await expect.poll(cancelled, {interval: 10}).toBe(1)
    },
  )
})

test('a runtime that is not there is waited for: nothing was begun', async () => {
  await expect(criExec('/nowhere/runtime.sock')('0a1b', ['x'], OPTIONS)).rejects.toMatchObject({
    code: 'API_UNREACHABLE',
  })
})
