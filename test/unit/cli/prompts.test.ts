import {EventEmitter} from 'node:events'
import {expect, test} from 'vitest'
import {confirm} from '../../../src/cli/prompts.ts'
import {interruptible} from '../../../src/cli/signals.ts'
import {terminalOf} from '../../../src/cli/terminal.ts'
import {AbortError} from '../../../src/base/errors.ts'

const nobody = {...terminalOf(process), interactive: false}
const question = {
  text: 'remove demo?',
  declined: 'nothing was removed',
  terminal: nobody,
  signal: new AbortController().signal,
}

test('--yes answers without asking', async () => {
  await expect(confirm({...question, yes: true})).resolves.toBeUndefined()
})

test('with nobody there to ask, the flag is named', async () => {
  await expect(confirm({...question, yes: false})).rejects.toMatchObject({
    code: 'FLAG_MISSING',
    exitCode: 3,
    suggestions: ['confirm in advance: add --yes, or set CLOUDER_YES=1'],
  })
})

class FakeProcess extends EventEmitter {
  exitCode: number | undefined
  exit(code?: number): never {
    this.exitCode = code
    throw new Error('exit')
  }
}

test('the first signal aborts, the second ends the process at once', () => {
  const from = new FakeProcess()
  const said: string[] = []
  const interruption = interruptible((text) => said.push(text), from as unknown as NodeJS.Process)
  from.emit('SIGTERM', 'SIGTERM')
  expect(said).toEqual(['stopping… (press again to stop at once)\n'])
  expect(interruption.signal.reason).toBeInstanceOf(AbortError)
  expect(interruption.signal.reason).toMatchObject({code: 'INTERRUPTED', exitCode: 130})
  expect(() => from.emit('SIGINT', 'SIGINT')).toThrow('exit')
  expect(from.exitCode).toBe(130)
})

test("after a run, signals are the process's own again", () => {
  const from = new FakeProcess()
  interruptible(() => undefined, from as unknown as NodeJS.Process)[Symbol.dispose]()
  expect(from.listenerCount('SIGINT') + from.listenerCount('SIGTERM') + from.listenerCount('SIGHUP')).toBe(0)
})

test('NO_COLOR, CI and a dumb terminal mean plain lines', () => {
  const tty = {isTTY: true, columns: 100}
  const from = (env: Record<string, string>) =>
    terminalOf({stdout: tty, stderr: tty, stdin: tty, env} as unknown as NodeJS.Process)
  expect(from({})).toMatchObject({draws: true, colours: true, interactive: true, columns: 100})
  expect(from({NO_COLOR: '1'})).toMatchObject({draws: false, colours: false, interactive: true})
  expect(from({CI: 'true'}).draws).toBe(false)
  expect(from({TERM: 'dumb'}).draws).toBe(false)
})
