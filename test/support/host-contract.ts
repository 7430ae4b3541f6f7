import {createHash} from 'node:crypto'
import {once} from 'node:events'
import {readFile} from 'node:fs/promises'
import {createServer} from 'node:http'
import {expect, test, type TestContext} from 'vitest'
import {HostCommandError} from '../../src/bootstrap/errors.ts'
import type {Argv, Host} from '../../src/bootstrap/hosts/host.ts'
import {waitFor} from '../../src/base/waiting.ts'

export interface HostFixture extends AsyncDisposable {
  readonly host: Host
  /** An empty folder on the host. */
  readonly dir: string
  /** Lines of the run log. */
  readonly log: readonly string[]
}

export const failing: Argv = ['sh', '-c', 'echo said; echo "first line" >&2; echo "the cause" >&2; exit 3']
export const greeting = {name: 'test/greeting.sh', text: 'set -euo pipefail\necho one\necho two\n'}
export const brokenScript = {name: 'test/broken.sh', text: 'set -euo pipefail\nfalse\necho not reached\n'}
export const counting = {name: 'test/counting.sh', text: 'wc -c\n'}

export async function* chunksOf(text: string, size: number): AsyncGenerator<Uint8Array> {
  await Promise.resolve()
  for (let from = 0; from < text.length; from += size) yield Buffer.from(text.slice(from, from + size))
}

export const sha256Of = (text: string): string => createHash('sha256').update(text).digest('hex')

/** What every Host does, a fake one too. */
export function hostContract(name: string, makeHost: (context: TestContext) => Promise<HostFixture>): void {
  test(`${name}: a query takes any exit code as an answer`, async (context) => {
    await using fixture = await makeHost(context)
    const result = await fixture.host.query(failing)
    expect(result).toEqual({exitCode: 3, stdout: 'said\n', stderr: 'first line\nthe cause\n'})
  })

  test(`${name}: a command that fails throws with its exit code and what it said last`, async (context) => {
    await using fixture = await makeHost(context)
    const error = await failureOf(fixture.host.exec(failing))
    expect(error).toMatchObject({code: 'HOST_COMMAND_FAILED', exitCode: 7})
    expect(error.failed).toMatchObject({host: fixture.host.name, exitCode: 3, stdout: 'said\n'})
    expect(error.message).toContain('exited with code 3\n')
    expect(error.message).toContain('the cause')
  })

  test(`${name}: a command gets its stdin`, async (context) => {
    await using fixture = await makeHost(context)
    expect((await fixture.host.exec(['cat'], {stdin: 'grüße\n'})).stdout).toBe('grüße\n')
    expect((await fixture.host.query(['cat'], {stdin: 'ask'})).stdout).toBe('ask')
  })

  test(`${name}: a script's lines are told as they come and kept`, async (context) => {
    await using fixture = await makeHost(context)
    const lines: string[] = []
    const result = await fixture.host.runScript(greeting, {onLine: (line) => lines.push(line)})
    expect(lines).toEqual(['one', 'two'])
    expect(result).toEqual({exitCode: 0, stdout: 'one\ntwo\n', stderr: ''})
  })

  test(`${name}: a script that fails is named in the error`, async (context) => {
    await using fixture = await makeHost(context)
    const error = await failureOf(fixture.host.runScript(brokenScript))
    expect(error.message).toContain('`test/broken.sh` exited with code 1')
    expect((await fixture.host.queryScript(brokenScript)).exitCode).toBe(1)
  })

  test(`${name}: a file that is not there reads as undefined`, async (context) => {
    await using fixture = await makeHost(context)
    expect(await fixture.host.readFile(`${fixture.dir}/absent`)).toBeUndefined()
  })

  test(`${name}: a file reads as it was written`, async (context) => {
    await using fixture = await makeHost(context)
    const path = `${fixture.dir}/new folder/it's a file`
    await fixture.host.writeFile(path, 'first\n', {mode: 0o600})
    await fixture.host.writeFile(path, 'secönd, no newline', {mode: 0o600, secret: true})
    expect(await fixture.host.readFile(path)).toBe('secönd, no newline')
    expect(fixture.log.join('\n')).not.toContain('secönd')
  })

  test(`${name}: an upload has its content when it ends`, async (context) => {
    await using fixture = await makeHost(context)
    const content = 'content '.repeat(20_000)
    const sent: number[] = []
    const path = `${fixture.dir}/upload`
    const sizes = {sha256: sha256Of(content), sizeBytes: content.length, mode: 0o755}
    await fixture.host.upload(chunksOf(content, 30_000), path, {
      ...sizes,
      onProgress: (bytes) => sent.push(bytes),
    })
    expect(await fixture.host.readFile(path)).toBe(content)
    expect(sent.at(-1)).toBe(content.length)
  })

  test(`${name}: an upload with a wrong digest leaves the old file and nothing else`, async (context) => {
    await using fixture = await makeHost(context)
    const path = `${fixture.dir}/upload`
    await fixture.host.writeFile(path, 'old', {mode: 0o644})
    const wrong = {sha256: sha256Of('other'), sizeBytes: 3, mode: 0o644}
    const error = await failureOf(fixture.host.upload(chunksOf('new', 10), path, wrong))
    expect(error.code).toBe('DIGEST_MISMATCH')
    expect(await fixture.host.readFile(path)).toBe('old')
    expect(await fixture.host.readFile(`${fixture.dir}/.upload.clouder-new`)).toBeUndefined()
  })

  test(`${name}: piped content reaches the script's stdin`, async (context) => {
    await using fixture = await makeHost(context)
    const result = await fixture.host.pipe(counting, chunksOf('x'.repeat(100_000), 999))
    expect(result.stdout.trim()).toBe('100000')
  })

  test(`${name}: an aborted signal ends a command with its reason`, async (context) => {
    await using fixture = await makeHost(context)
    const reason = new Error('stopped by the test')
    await expect(fixture.host.exec(['true'], {signal: AbortSignal.abort(reason)})).rejects.toBe(reason)
  })
}

/** What needs a real shell at the other end. */
export function realHostContract(
  name: string,
  makeHost: (context: TestContext) => Promise<HostFixture>,
): void {
  hostContract(name, makeHost)

  test(`${name}: words arrive as they are, whatever they hold`, async (context) => {
    await using fixture = await makeHost(context)
    const words = ['', ' ', "it's", '$HOME', '`id`', '\\', '"', 'a\nb', '*', '-n', 'ü', '!x', '#', ';&|']
    const result = await fixture.host.exec(['printf', '%s\\0', ...words])
    expect(result.stdout.split('\0').slice(0, -1)).toEqual(words)
  })

  test(`${name}: a mode is what was asked for, parents can be entered, and no temporary file stays`, async (context) => {
    await using fixture = await makeHost(context)
    await fixture.host.writeFile(`${fixture.dir}/a/b/file`, 'x', {mode: 0o640})
    const modes = await fixture.host.query([
      'stat',
      '-c',
      '%a',
      `${fixture.dir}/a/b/file`,
      `${fixture.dir}/a`,
    ])
    expect(modes.stdout).toBe('640\n755\n')
    expect((await fixture.host.query(['ls', '-A', `${fixture.dir}/a/b`])).stdout).toBe('file\n')
  })

  test(`${name}: a program that is missing is an answer of 127`, async (context) => {
    await using fixture = await makeHost(context)
    expect((await fixture.host.query(['no-such-program'])).exitCode).toBe(127)
  })

  test(`${name}: of much output the end is kept`, async (context) => {
    await using fixture = await makeHost(context)
    const result = await fixture.host.query(['sh', '-c', 'head -c 6000000 /dev/zero | tr "\\0" x; echo end'])
    // Without what could be half a secret.
    expect(result.stdout).toHaveLength(4 * 1024 * 1024 - 8192)
    expect(result.stdout.endsWith('xend\n')).toBe(true)
  })

  test(`${name}: a command that takes too long is gone from the host`, async (context) => {
    await using fixture = await makeHost(context)
    const running = startSleeper(fixture)
    const error = failureOf(running.exec({timeoutMs: 1_500}))
    const pid = await running.pid()
    expect(await error).toMatchObject({code: 'HOST_COMMAND_TIMED_OUT'})
    expect(await isAlive(pid)).toBe(false)
  })

  test(`${name}: an aborted command is gone from the host, its children too`, async (context) => {
    await using fixture = await makeHost(context)
    const running = startSleeper(fixture)
    const abort = new AbortController()
    const ended = running.exec({signal: abort.signal}).then(
      () => 'ended',
      (error: unknown) => error,
    )
    const pid = await running.pid()
    const reason = new Error('stopped by the test')
    abort.abort(reason)
    expect(await ended).toBe(reason)
    expect(await isAlive(pid)).toBe(false)
  })

  test(`${name}: content that fails to arrive stops what waits for it`, async (context) => {
    await using fixture = await makeHost(context)
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('start')
      await Promise.reject(new Error('the source broke'))
    }
    const path = `${fixture.dir}/broken`
    const sizes = {sha256: sha256Of('started'), sizeBytes: 7, mode: 0o644}
    await expect(fixture.host.upload(broken(), path, sizes)).rejects.toThrow('the source broke')
    expect((await fixture.host.query(['ls', '-A', fixture.dir])).stdout).toBe('')
  })

  test(`${name}: a secret shows in no error and no log`, async (context) => {
    await using fixture = await makeHost(context)
    const secret = `canary ${crypto.randomUUID()}`
    const script = {
      name: 'test/leak.sh',
      text: 'secret=$(cat); echo "$secret"; echo "$secret" | base64 >&2; exit 1',
    }
    const lines: string[] = []
    const options = {stdin: secret, secrets: [secret], onLine: (line: string) => lines.push(line)}
    const error = await failureOf(fixture.host.runScript(script, options))
    const shown = JSON.stringify([error.message, error.failed, lines, fixture.log])
    expect(shown).toContain('[redacted]')
    expect(shown).not.toContain(secret)
    expect(shown).not.toContain(Buffer.from(secret).toString('base64').slice(0, 20))
  })

  test(`${name}: more commands than sessions run at once`, async (context) => {
    await using fixture = await makeHost(context)
    const numbers = Array.from({length: 25}, (_, index) => String(index))
    const results = await Promise.all(numbers.map((number) => fixture.host.query(['echo', number])))
    expect(results.map(({stdout}) => stdout.trim())).toEqual(numbers)
  })

  test(`${name}: facts are those of the machine`, async (context) => {
    await using fixture = await makeHost(context)
    const {facts} = fixture.host
    const release = await readFile('/etc/os-release', 'utf8')
    expect(release).toContain(`ID=${facts.osId}`)
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
    const began = (await readFile('/proc/1/stat', 'utf8')).split(') ').at(-1)?.split(' ')[19]
    expect(facts.bootId).toBe(`${boot}-${began}`)
    expect(facts.cpus).toBeGreaterThan(0)
    expect(facts.memoryMiB).toBeGreaterThan(100)
    expect(Math.abs(facts.clockSkewMs)).toBeLessThan(2_000)
    expect(facts.addresses.every((address) => /\/\d+$/.test(address))).toBe(true)
  })

  test(`${name}: a tunnel leads to a port as the host sees it`, async (context) => {
    await using fixture = await makeHost(context)
    const server = createServer((_, response) => response.end('hello from there')).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const tunnel = await fixture.host.forward('127.0.0.1', address.port)
    try {
      const response = await fetch(`http://127.0.0.1:${tunnel.localPort}/`, {headers: {connection: 'close'}})
      expect(await response.text()).toBe('hello from there')
    } finally {
      await tunnel.close()
      server.close()
    }
  })
}

export async function failureOf(work: Promise<unknown>): Promise<HostCommandError> {
  try {
    await work
  } catch (error) {
    if (error instanceof HostCommandError) return error
    throw error
  }
  throw new Error('it did not fail')
}

/** A script whose child sleeps for a long time and ignores SIGTERM; `pid` is the child's. */
export function startSleeper(fixture: HostFixture) {
  const file = `${fixture.dir}/pid`
  const text = `bash -c 'trap "" TERM; echo $$ >"$0"; while :; do sleep 1000; done' '${file}' & wait`
  return {
    exec: (options: {timeoutMs?: number; signal?: AbortSignal}) =>
      fixture.host.runScript({name: 'test/sleeper.sh', text}, options),
    pid: async () => waitForPid(file),
  }
}

/** The number that a command on this machine writes to a file. */
export async function waitForPid(file: string): Promise<number> {
  const signal = AbortSignal.timeout(10_000)
  return waitFor({
    what: file,
    timeoutMs: 10_000,
    intervalMs: 20,
    signal,
    async check() {
      const text = await readFile(file, 'utf8').catch(() => '')
      return text.endsWith('\n') ? {value: Number(text), seen: text} : {seen: text}
    },
  })
}

/** Whether a process of this machine lives; one that only waits to be reaped does not. */
export async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return stat !== '' && !stat.includes(') Z ')
}
