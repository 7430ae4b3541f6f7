import {fork} from 'node:child_process'
import {once} from 'node:events'
import {mkdtemp, readFile, readdir, rm} from 'node:fs/promises'
import {Socket} from 'node:net'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {expect, test, vi} from 'vitest'
import {ConnectionError} from '../../../../src/base/errors.ts'
import {busyDir} from '../../../../src/bootstrap/hosts/program.ts'
import {connectSsh} from '../../../support/connect-ssh.ts'
import {isAlive, startSleeper, waitForPid} from '../../../support/host-contract.ts'
import {createSshUser, needSshd, startSshd} from '../../../support/with-sshd.ts'

async function tempDir(): Promise<AsyncDisposable & {path: string}> {
  const path = await mkdtemp(join(tmpdir(), 'clouder-link-'))
  return {path, [Symbol.asyncDispose]: () => rm(path, {recursive: true, force: true})}
}

const errorOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'no error',
    (error: unknown) => error,
  )

test('one connection carries all commands of a host', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using host = await connectSsh(sshd, sshd.machine())
  await Promise.all(Array.from({length: 20}, () => host.query(['true'])))
  const tunnel = await host.forward('127.0.0.1', sshd.port)
  await tunnel.close()
  expect(await sshd.logins()).toBe(1)
})

// Its time would show it as well, but not on a machine that is busy.
test('no packet of a connection waits until the one before was acknowledged', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  const undelayed = vi.spyOn(Socket.prototype, 'setNoDelay')
  try {
    await using host = await connectSsh(sshd, sshd.machine())
    await host.query(['true'])
    const sockets = undelayed.mock.contexts.filter(
      (socket) => socket instanceof Socket && socket.remotePort === sshd.port,
    )
    expect(sockets).toHaveLength(1)
    expect(undelayed.mock.lastCall).toEqual([true])
  } finally {
    undelayed.mockRestore()
  }
})

test('a command whose connection is cut is not a success', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using dir = await tempDir()
  await using host = await connectSsh(sshd, sshd.machine())
  const file = join(dir.path, 'pid')
  const running = errorOf(host.query(['sh', '-c', `echo $$ >${file}; exec sleep 1000`]))
  const pid = await waitForPid(file)
  await sshd.cutConnections()
  const error = await running
  process.kill(pid, 'SIGKILL')
  expect(error).toBeInstanceOf(ConnectionError)
  expect(error).toMatchObject({code: 'LINK_LOST', host: 'node-1'})
})

test('a link lost between commands is made again, once', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using host = await connectSsh(sshd, sshd.machine())
  await sshd.cutConnections()
  // It meets the cut, or comes after the link was seen to close and is the first to use the next one.
  await host.query(['true']).catch((error: unknown) => {
    expect(error).toMatchObject({code: 'LINK_LOST'})
  })
  // Both find the link gone: what the first starts, the second waits for.
  const results = await Promise.all([host.query(['echo', 'a']), host.query(['echo', 'b'])])
  expect(results.map(({stdout}) => stdout)).toEqual(['a\n', 'b\n'])
  expect(await sshd.logins()).toBe(2)
})

test('a change waits for what a lost connection left running', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using dir = await tempDir()
  await using host = await connectSsh(sshd, sshd.machine())
  const order = join(dir.path, 'order')
  const pidFile = join(dir.path, 'pid')
  const text = `echo $$ >'${pidFile}'; sleep 2; echo left over >>'${order}'`
  const running = errorOf(host.runScript({name: 'test/slow.sh', text}))
  await waitForPid(pidFile)
  await sshd.cutConnections()
  expect(await running).toMatchObject({code: 'LINK_LOST'})
  await host.runScript({name: 'test/next.sh', text: `echo next >>'${order}'`})
  expect(await readFile(order, 'utf8')).toBe('left over\nnext\n')
})

test('the next run waits for the command of a run that was killed', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using dir = await tempDir()
  const order = join(dir.path, 'order')
  const pidFile = join(dir.path, 'pid')
  const text = `echo $$ >'${pidFile}'; sleep 3; echo old >>'${order}'`
  const client = fork(new URL('../../../support/ssh-client.ts', import.meta.url), [], {execArgv: []})
  client.send({machine: sshd.machine(), knownHosts: join(sshd.dir, 'known_hosts'), script: text})
  await waitForPid(pidFile)
  const exited = once(client, 'exit')
  client.kill('SIGKILL')
  await exited
  await using host = await connectSsh(sshd, sshd.machine())
  await host.runScript({name: 'test/new.sh', text: `echo new >>'${order}'`})
  expect(await readFile(order, 'utf8')).toBe('old\nnew\n')
  expect(await readdir(busyDir)).toEqual([])
})

test('what a killed run left is killed when it takes too long', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using dir = await tempDir()
  await using first = await connectSsh(sshd, sshd.machine())
  const running = startSleeper({
    host: first,
    dir: dir.path,
    log: [],
    [Symbol.asyncDispose]: () => Promise.resolve(),
  })
  const ended = errorOf(running.exec({}))
  const pid = await running.pid()
  await sshd.cutConnections()
  await ended
  await using second = await connectSsh(sshd, sshd.machine(), {leftoversWaitMs: 1_000})
  expect(await isAlive(pid)).toBe(false)
  expect((await second.query(['true'])).exitCode).toBe(0)
})

test('a change of a run that lives is left alone, and refuses a run that must be alone', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using dir = await tempDir()
  await using first = await connectSsh(sshd, sshd.machine())
  const running = startSleeper({
    host: first,
    dir: dir.path,
    log: [],
    [Symbol.asyncDispose]: () => Promise.resolve(),
  })
  const abort = new AbortController()
  const ended = errorOf(running.exec({signal: abort.signal}))
  const pid = await running.pid()
  await using onlooker = await connectSsh(sshd, sshd.machine())
  expect((await onlooker.query(['true'])).exitCode).toBe(0)
  const error = await errorOf(connectSsh(sshd, sshd.machine(), {exclusive: true, leftoversWaitMs: 1_000}))
  expect(error).toMatchObject({code: 'HOST_COMMAND_TIMED_OUT'})
  expect(await isAlive(pid)).toBe(true)
  abort.abort()
  await ended
})

test('few sessions on a connection are enough', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd({config: ['MaxSessions 2']})
  await using host = await connectSsh(sshd, sshd.machine())
  const results = await Promise.all(
    Array.from({length: 10}, (_, index) => host.query(['echo', String(index)])),
  )
  expect(results).toHaveLength(10)
})

test('a full disk is named as such, and nothing of the file stays', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using dir = await tempDir()
  await using host = await connectSsh(sshd, sshd.machine())
  await host.exec(['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', dir.path])
  try {
    const content = 'x'.repeat(2_000_000)
    await expect(host.writeFile(join(dir.path, 'big'), content, {mode: 0o600})).rejects.toMatchObject({
      code: 'DISK_FULL',
    })
    const fill = {name: 'test/fill.sh', text: `head -c 2000000 /dev/zero >'${dir.path}/fill'`}
    await expect(host.runScript(fill)).rejects.toMatchObject({code: 'DISK_FULL'})
    await host.exec(['rm', join(dir.path, 'fill')])
    expect(await readdir(dir.path)).toEqual([])
  } finally {
    await host.exec(['umount', dir.path])
  }
})

test('a sudo password is in no process list and no log', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using dir = await tempDir()
  await using user = await createSshUser('password')
  const log: string[] = []
  const machine = sshd.machine({user: user.name, sudoPassword: {env: 'SUDO_PASSWORD'}})
  await using host = await connectSsh(sshd, machine, {
    sudoPassword: user.password,
    log: (line) => log.push(line),
  })
  const abort = new AbortController()
  const file = join(dir.path, 'pid')
  const signal = abort.signal
  const running = errorOf(
    host.runScript({name: 'test/wait.sh', text: `echo $$ >'${file}'; sleep 1000`}, {signal}),
  )
  await waitForPid(file)
  const seen: string[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    for (const part of ['cmdline', 'environ'])
      seen.push(await readFile(`/proc/${pid}/${part}`, 'utf8').catch(() => ''))
  }
  abort.abort()
  await running
  expect(seen.join('\n')).toContain('clouder-sudo-password:')
  expect(seen.join('\n')).not.toContain(user.password)
  expect([...log, await readFile(join(sshd.dir, 'log'), 'utf8')].join('\n')).not.toContain(user.password)
})
