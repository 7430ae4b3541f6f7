import {execFile} from 'node:child_process'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {expect, test} from 'vitest'
import type {Machine} from '../../../../src/spec/machine.ts'
import {connectSsh, refusalOf} from '../../../support/connect-ssh.ts'
import {makeKey, needSshd, startAgent, startSshd, type Sshd} from '../../../support/with-sshd.ts'

const run = promisify(execFile)

async function fingerprint(path: string): Promise<string> {
  const {stdout} = await run('ssh-keygen', ['-lf', path])
  return stdout.split(' ')[1] ?? ''
}

function withoutKey(sshd: Sshd): Machine {
  const {keyPath: _, ...ssh} = sshd.machine().ssh
  return {...sshd.machine(), ssh}
}

test('more keys than the server hears are one failed login, with the keys that were tried', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd({config: ['MaxAuthTries 6']})
  await using agent = await startAgent(sshd.dir)
  const strangers = Array.from({length: 7}, (_, index) => join(sshd.dir, `stranger-${index}`))
  for (const path of strangers) {
    await makeKey(path, 'ed25519')
    await agent.add(path)
  }
  await agent.add(sshd.userKey)
  const error = await refusalOf(
    connectSsh(sshd, withoutKey(sshd), {agentSocket: agent.socket, timeoutMs: 30_000}),
  )
  expect(error).toMatchObject({code: 'AUTH_FAILED', exitCode: 6, host: 'node-1'})
  expect(error.message).toContain('after 6 of 8 keys (Too many authentication failures)')
  for (const path of strangers.slice(0, 6)) expect(error.message).toContain(await fingerprint(path))
  expect(error.message).not.toContain(await fingerprint(sshd.userKey))
  expect(error.suggestions.join('\n')).toContain('--key FILE')
  await expect.poll(() => sshd.connections()).toBe(1)
})

test('with a key file the agent is asked for that key alone, however many it holds', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd({config: ['MaxAuthTries 1']})
  await using agent = await startAgent(sshd.dir)
  const stranger = join(sshd.dir, 'stranger')
  await makeKey(stranger, 'ed25519')
  await agent.add(stranger)
  await agent.add(sshd.userKey)
  // Encrypted from here on: the file shows which key it is, the agent has it open.
  await run('ssh-keygen', ['-q', '-p', '-P', '', '-N', 'a passphrase', '-f', sshd.userKey])
  const agentSocket = agent.socket
  await using fromFile = await connectSsh(sshd, sshd.machine(), {agentSocket})
  expect((await fromFile.query(['true'])).exitCode).toBe(0)
  const publicHalf = sshd.machine({keyPath: `${sshd.userKey}.pub`})
  await using fromPublic = await connectSsh(sshd, publicHalf, {agentSocket})
  expect((await fromPublic.query(['true'])).exitCode).toBe(0)
  await expect.poll(() => sshd.connections()).toBe(2)
  const error = await refusalOf(connectSsh(sshd, publicHalf))
  expect(error.message).toContain('is a public key')
  await expect.poll(() => sshd.connections()).toBe(2)
})

test('a bastion that refuses the key is told by its own name, once', async (context) => {
  await needSshd(context)
  await using bastion = await startSshd()
  await using inner = await startSshd()
  const {port} = bastion
  const access = {address: '127.0.0.1', user: 'root', port, keyPath: inner.userKey, hostKeys: []}
  const error = await refusalOf(connectSsh(inner, inner.machine({bastion: access}), {timeoutMs: 30_000}))
  expect(error).toMatchObject({code: 'AUTH_FAILED', host: 'bastion of node-1'})
  expect(error.message).toContain(await fingerprint(inner.userKey))
  await expect.poll(() => bastion.connections()).toBe(1)
})

test('a second factor that the server asks for is named', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd({
    config: ['PasswordAuthentication yes', 'AuthenticationMethods publickey,password'],
  })
  const error = await refusalOf(connectSsh(sshd, sshd.machine(), {timeoutMs: 30_000}))
  expect(error.code).toBe('AUTH_FAILED')
  expect(error.message).toContain('also requires password')
})

test('what the server shows before a login is told with the refusal', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd({config: ['Banner /etc/hosts', 'DenyUsers root']})
  const error = await refusalOf(connectSsh(sshd, sshd.machine()))
  expect(error.code).toBe('AUTH_FAILED')
  expect(error.message).toMatch(/message of the server: \S+/)
})

test('sides without an algorithm in common are not asked again', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd({config: ['MACs hmac-md5', 'Ciphers chacha20-poly1305@openssh.com']})
  const error = await refusalOf(connectSsh(sshd, sshd.machine(), {timeoutMs: 30_000}))
  expect(error.code).toBe('HOST_UNREACHABLE')
  await expect.poll(() => sshd.connections()).toBe(1)
})
