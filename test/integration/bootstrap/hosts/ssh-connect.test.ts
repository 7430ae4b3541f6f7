import {execFile} from 'node:child_process'
import {readFile, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {expect, test} from 'vitest'
import {clusterFileOf, connectSsh, knownHostsOf, refusalOf} from '../../../support/connect-ssh.ts'
import {createSshUser, makeKey, needSshd, startAgent, startSshd} from '../../../support/with-sshd.ts'

const run = promisify(execFile)

test('a host key is pinned at first use and then accepted under the strict policy', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using first = await connectSsh(sshd, sshd.machine())
  await first.close()
  expect(await readFile(clusterFileOf(sshd), 'utf8')).toBe(
    `[127.0.0.1]:${sshd.port} ${await sshd.hostKey()}\n`,
  )
  await using second = await connectSsh(sshd, sshd.machine(), {knownHosts: knownHostsOf(sshd, 'strict')})
  expect(second.facts.hostname).toBe(first.facts.hostname)
})

test('a changed host key is refused at once, with both fingerprints and the line to remove', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using before = await connectSsh(sshd, sshd.machine())
  await before.close()
  const {stdout: old} = await run('ssh-keygen', ['-lf', join(sshd.dir, 'host_ed25519.pub')])
  await sshd.changeHostKeys()
  const {stdout: shown} = await run('ssh-keygen', ['-lf', join(sshd.dir, 'host_ed25519.pub')])
  const error = await refusalOf(connectSsh(sshd, sshd.machine()))
  expect(error.code).toBe('HOST_KEY_CHANGED')
  expect(error.message).toContain(old.split(' ')[1])
  expect(error.message).toContain(shown.split(' ')[1])
  expect(error.suggestions.join('\n')).toContain(`sed -i '1d' '${clusterFileOf(sshd)}'`)
})

test('a pinned key of another type than the server likes best is still found', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  const [type, base64] = (await readFile(join(sshd.dir, 'host_ecdsa.pub'), 'utf8')).split(' ')
  await using host = await connectSsh(sshd, sshd.machine({hostKeys: [`${type} ${base64}`]}))
  expect((await host.query(['true'])).exitCode).toBe(0)
})

test('keys of the machine win over what was pinned', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using pinned = await connectSsh(sshd, sshd.machine())
  await pinned.close()
  await makeKey(join(sshd.dir, 'other'), 'ed25519')
  const other = await readFile(join(sshd.dir, 'other.pub'), 'utf8')
  expect((await refusalOf(connectSsh(sshd, sshd.machine({hostKeys: [other]})))).code).toBe('HOST_KEY_CHANGED')
})

test('an unknown host key is refused under the strict policy', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  const error = await refusalOf(connectSsh(sshd, sshd.machine(), {knownHosts: knownHostsOf(sshd, 'strict')}))
  expect(error.code).toBe('HOST_KEY_UNKNOWN')
})

test('a wrong key is refused at once', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  const keyPath = join(sshd.dir, 'stranger')
  await makeKey(keyPath, 'ed25519')
  const started = performance.now()
  const error = await refusalOf(connectSsh(sshd, sshd.machine({keyPath}), {timeoutMs: 60_000}))
  expect(error).toMatchObject({code: 'AUTH_FAILED', exitCode: 6, host: 'node-1'})
  expect(error.message).toContain(keyPath)
  expect(performance.now() - started).toBeLessThan(15_000)
})

test('a key with a passphrase or no key at all is told apart from a wrong one', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  const keyPath = join(sshd.dir, 'locked')
  await makeKey(keyPath, 'ed25519', 'a passphrase')
  const locked = await refusalOf(connectSsh(sshd, sshd.machine({keyPath})))
  expect(locked.code).toBe('AUTH_FAILED')
  expect(locked.message).toContain('has a passphrase')
  const absent = await refusalOf(connectSsh(sshd, sshd.machine({keyPath: join(sshd.dir, 'absent')})))
  expect(absent.message).toContain('cannot be read')
})

test('a host that does not answer is unreachable after the time given', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await sshd.stop()
  const error = await refusalOf(connectSsh(sshd, sshd.machine(), {timeoutMs: 1_500}))
  expect(error).toMatchObject({code: 'HOST_UNREACHABLE', address: '127.0.0.1'})
  expect(error.message).toContain('ECONNREFUSED')
})

test('connecting waits for an sshd that is coming up', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await sshd.stop()
  const connecting = connectSsh(sshd, sshd.machine(), {timeoutMs: 30_000})
  await sshd.start()
  await using host = await connecting
  expect((await host.query(['true'])).exitCode).toBe(0)
})

test('connecting stops with the reason of the signal', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await sshd.stop()
  const reason = new Error('stopped by the test')
  const abort = new AbortController()
  const connecting = connectSsh(sshd, sshd.machine(), {timeoutMs: 60_000, signal: abort.signal})
  abort.abort(reason)
  await expect(connecting).rejects.toBe(reason)
})

test('the keys of an ssh-agent are used where there is no key file', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using agent = await startAgent(sshd.dir)
  const agentSocket = agent.socket
  const {keyPath: _, ...ssh} = sshd.machine().ssh
  const machine = {...sshd.machine(), ssh}
  const empty = await refusalOf(connectSsh(sshd, machine, {agentSocket}))
  expect(empty.code).toBe('AUTH_FAILED')
  await agent.add(sshd.userKey)
  await using host = await connectSsh(sshd, machine, {agentSocket})
  expect((await host.query(['true'])).exitCode).toBe(0)
  expect((await refusalOf(connectSsh(sshd, machine))).message).toContain('neither a key file nor')
})

test('a machine behind a bastion is reached through it, both host keys checked', async (context) => {
  await needSshd(context)
  await using bastion = await startSshd()
  await using inner = await startSshd()
  const {port, userKey: keyPath} = bastion
  const access = {address: '127.0.0.1', user: 'root', port, keyPath, hostKeys: []}
  const machine = inner.machine({bastion: access})
  await using host = await connectSsh(inner, machine)
  expect((await host.query(['true'])).exitCode).toBe(0)
  expect([await bastion.logins(), await inner.logins()]).toEqual([1, 1])
  await host.close()
  const pinned = await readFile(clusterFileOf(inner), 'utf8')
  expect(pinned).toContain(`[127.0.0.1]:${bastion.port} ssh-ed25519`)
  expect(pinned).toContain(`[127.0.0.1]:${inner.port} ssh-ed25519`)
  await bastion.changeHostKeys()
  const error = await refusalOf(connectSsh(inner, machine))
  expect(error).toMatchObject({code: 'HOST_KEY_CHANGED', host: 'bastion of node-1'})
})

test('a user whom sudo refuses is told how to allow it', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using stranger = await createSshUser('refused')
  await using user = await createSshUser('password')
  const refused = await refusalOf(connectSsh(sshd, sshd.machine({user: stranger.name})))
  expect(refused.code).toBe('SUDO_REFUSED')
  expect(refused.suggestions.join('\n')).toContain(`${stranger.name} ALL=(ALL) NOPASSWD: ALL`)
  const withPassword = sshd.machine({user: user.name, sudoPassword: {env: 'SUDO_PASSWORD'}})
  const wrong = await refusalOf(connectSsh(sshd, withPassword, {sudoPassword: 'canary-of-a-wrong-password'}))
  expect(wrong.code).toBe('SUDO_REFUSED')
  expect(wrong.message).not.toContain('canary')
  const missing = await refusalOf(connectSsh(sshd, sshd.machine({user: user.name})))
  expect(missing.code).toBe('SUDO_REFUSED')
})

test('a password that sudo does not ask for is not sent', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using user = await createSshUser('passwordless')
  const machine = sshd.machine({user: user.name, sudoPassword: {env: 'SUDO_PASSWORD'}})
  await using host = await connectSsh(sshd, machine, {sudoPassword: user.password})
  expect(host.facts.sudo).toBe('passwordless')
  expect((await host.exec(['cat'], {stdin: 'only this'})).stdout).toBe('only this')
})

test("what a user's shell prints when it starts is not a command's output", async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using user = await createSshUser('passwordless')
  await writeFile(`/home/${user.name}/.bashrc`, 'echo welcome; echo "be good" >&2\n')
  await using host = await connectSsh(sshd, sshd.machine({user: user.name}))
  const result = await host.query(['sh', '-c', 'echo out; echo err >&2'])
  expect(result).toEqual({exitCode: 0, stdout: 'out\n', stderr: 'err\n'})
})
