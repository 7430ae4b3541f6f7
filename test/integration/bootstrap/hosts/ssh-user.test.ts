import {execFile} from 'node:child_process'
import {readFile, rm, writeFile} from 'node:fs/promises'
import {promisify} from 'node:util'
import {expect, test} from 'vitest'
import {connectSsh, refusalOf} from '../../../support/connect-ssh.ts'
import {createSshUser, needSshd, startSshd} from '../../../support/with-sshd.ts'

const run = promisify(execFile)

test('the forced command of a cloud image is told with the user that it names', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  const key = await readFile(`${sshd.userKey}.pub`, 'utf8')
  const words = 'Please login as the user \\"admin\\" rather than the user \\"root\\".'
  await writeFile(`${sshd.userKey}.pub`, `command="echo '${words}';echo;exit 142" ${key}`)
  const error = await refusalOf(connectSsh(sshd, sshd.machine()))
  expect(error).toMatchObject({code: 'AUTH_FAILED', exitCode: 6})
  expect(error.message).toContain('Please login as the user "admin" rather than the user "root".')
  expect(error.suggestions[0]).toContain('ssh.user')
})

test('a user without a shell is told from one without sudo', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using user = await createSshUser('passwordless')
  await run('usermod', ['--shell', '/usr/sbin/nologin', user.name])
  const error = await refusalOf(connectSsh(sshd, sshd.machine({user: user.name})))
  expect(error.code).toBe('AUTH_FAILED')
  expect(error.message).toContain('starts no shell')
})

test('requiretty in sudoers comes with the line that lifts it', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using user = await createSshUser('passwordless')
  const sudoers = `/etc/sudoers.d/${user.name}-tty`
  await writeFile(sudoers, `Defaults:${user.name} requiretty\n`, {mode: 0o440})
  try {
    const error = await refusalOf(connectSsh(sshd, sshd.machine({user: user.name})))
    expect(error.code).toBe('SUDO_REFUSED')
    expect(error.suggestions.join('\n')).toContain('!requiretty')
  } finally {
    await rm(sudoers)
  }
})

test('an expired password of a sudo user is named, with the command that renews it', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using user = await createSshUser('password')
  await run('chage', ['-d', '0', user.name])
  const machine = sshd.machine({user: user.name, sudoPassword: {env: 'SUDO_PASSWORD'}})
  const error = await refusalOf(connectSsh(sshd, machine, {sudoPassword: user.password}))
  expect(error.code).toBe('SUDO_REFUSED')
  expect(error.suggestions.join('\n')).toContain(`passwd ${user.name}`)
})

test('an expired password that sshd itself asks to change is told in its words', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd({config: ['UsePAM yes']})
  await using user = await createSshUser('passwordless')
  await run('chage', ['-d', '0', user.name])
  const error = await refusalOf(connectSsh(sshd, sshd.machine({user: user.name})))
  expect(error.code).toBe('AUTH_FAILED')
  expect(error.message).toMatch(/[Pp]assword/)
})

test('a wrong sudo password is sent once', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  await using user = await createSshUser('password')
  const machine = sshd.machine({user: user.name, sudoPassword: {env: 'SUDO_PASSWORD'}})
  const error = await refusalOf(connectSsh(sshd, machine, {sudoPassword: 'canary-wrong', timeoutMs: 30_000}))
  expect(error.code).toBe('SUDO_REFUSED')
  expect(error.suggestions.join('\n')).toContain('correct the password')
  await expect.poll(() => sshd.connections()).toBe(1)
})

test('a banner and chatty start-up files leave facts and files as they are', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd({config: ['Banner /etc/hosts', 'PrintMotd yes']})
  await using user = await createSshUser('passwordless')
  const noise = `printf 'hostname\\tfrom-bashrc\\nbusy\\t1 lost\\nclouder-'; printf 'clouder-started' >&2\n`
  for (const file of ['.bashrc', '.profile']) await writeFile(`/home/${user.name}/${file}`, noise)
  await using host = await connectSsh(sshd, sshd.machine({user: user.name}))
  const {stdout} = await run('uname', ['-n'])
  expect(host.facts.hostname).toBe(stdout.trim())
  expect(await host.readFile('/etc/hostname')).toBe(await readFile('/etc/hostname', 'utf8'))
})
